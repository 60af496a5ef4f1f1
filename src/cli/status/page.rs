//! The page of `rowhook status`: the headline, a line for each rule, and the facts below.
//!
//! In: the status. Out: text for a terminal of this width; a pipe gets all columns, whole.

use std::time::{Duration, SystemTime};

use super::super::output::{self, Columns, Tone, ago, bytes, clean, short, span};
use crate::admin::view::status::{
    AttentionView, BacklogView, BinlogPinView, JournalView, PositionView, RetentionView, RuleView, StatusView,
    StorageView, TargetView, state,
};
use crate::printable::columns_of;

/// More lines than this would push the table off the screen.
const ATTENTION_LINES_MAX: usize = 8;

/// Below this many characters a line has no room for the columns about attempts.
const NARROW: u16 = 80;

/// From this many characters on there is room for what is said elsewhere, too.
const WIDE: u16 = 120;

/// The page.
pub(super) fn text(status: &StatusView, now: SystemTime, width: Option<u16>) -> String {
    let mut text = headline(&status.attention);
    text += &first_line(status, now);
    let problems = status.rule_files.iter().flat_map(|files| &files.problems);
    problems.flat_map(|problem| problem.lines()).for_each(|line| text += &format!("  {}\n", clean(line)));
    if !status.rules.is_empty() {
        text.push('\n');
        text += &rules(status, now, width);
        status.rules.iter().filter_map(reason).for_each(|line| text += &line);
        status.rules.iter().filter_map(to_drop).for_each(|line| text += &line);
    }
    let waiting: Vec<&TargetView> = status.targets.iter().filter(|target| target.state == state::WAITING).collect();
    if !waiting.is_empty() {
        text.push('\n');
        waiting.iter().for_each(|target| text += &waiting_line(target));
    }
    text.push('\n');
    facts(status, now).iter().for_each(|(name, value)| text += &format!("{name:<13} {}\n", clean(value)));
    text
}

/// What is worst, then the rest, each with the command that helps.
fn headline(attention: &[AttentionView]) -> String {
    if attention.is_empty() {
        return "all is well\n".to_owned();
    }
    let mut text = String::new();
    for (n, line) in attention.iter().take(ATTENTION_LINES_MAX).enumerate() {
        let indent = if n == 0 { "" } else { "  " };
        let fix = line.fix.as_ref().map_or(String::new(), |fix| format!("; {fix}"));
        text += &format!("{indent}{}{}\n", clean(&line.text), clean(&fix));
    }
    if attention.len() > ATTENTION_LINES_MAX {
        text += &format!("  … and {} more; --json has them all\n", attention.len() - ATTENTION_LINES_MAX);
    }
    text
}

fn first_line(status: &StatusView, now: SystemTime) -> String {
    if !status.running {
        return "no rowhook runs on this data directory; this is what the store says\n".to_owned();
    }
    let since = status.started_at.as_deref().map_or("?".to_owned(), |at| ago(at, now, span));
    let pid = status.pid.map_or("?".to_owned(), |pid| pid.to_string());
    let backlog = status.backlog.map_or(String::new(), |backlog| format!("; {}", backlog_text(&backlog)));
    let lag = lag_text(status.lag_seconds, status.lag_is_bound, span);
    format!("running for {since} as process {pid}; lag {lag}{backlog}\n")
}

fn backlog_text(backlog: &BacklogView) -> String {
    let speed = match (backlog.shrinks_by_bytes_per_second, backlog.seconds_left) {
        (Some(speed), Some(left)) => {
            format!(", shrinks by {}/s, about {} to go", bytes(speed as u64), span(Duration::from_secs(left)))
        }
        (Some(speed), None) if speed <= -1.0 => format!(", grows by {}/s", bytes(-speed as u64)),
        // It moves by whole transactions, so that a large one seems to stand still.
        (Some(_), None) | (None, _) => String::new(),
    };
    format!("{} of binlog to go through{speed}", bytes(backlog.bytes))
}

/// `≤` where it is at most that.
fn lag_text(seconds: Option<f64>, is_bound: bool, in_words: fn(Duration) -> String) -> String {
    let Some(lag) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        return "-".to_owned();
    };
    let bound = if is_bound && lag >= Duration::from_secs(1) { "≤" } else { "" };
    format!("{bound}{}", in_words(lag))
}

fn rules(status: &StatusView, now: SystemTime, width: Option<u16>) -> String {
    let fits = |name: &str| match name {
        "in flight" | "in retry" => width.is_none_or(|width| width >= NARROW),
        "backlog" | "target" => width.is_none_or(|width| width >= WIDE),
        _ => true,
    };
    let mut rows: Vec<Vec<(String, Tone)>> = Vec::new();
    for rule in &status.rules {
        let cells = columns(rule, now).into_iter().filter(|(name, ..)| fits(name));
        rows.push(cells.map(|(_, text, tone)| (text, tone)).collect());
    }
    let head: Vec<&str> = HEAD.into_iter().filter(|name| fits(name)).collect();
    if let Some(width) = width {
        shorten_names(&head, &mut rows, usize::from(width));
    }
    let numbers = (2..head.len()).filter(|at| head[*at] != "target").collect();
    let whole = (0..head.len()).filter(|at| head[*at] != "target").collect();
    output::toned_table(&head, rows, &Columns { numbers, whole })
}

const HEAD: [&str; 9] = ["rule", "state", "waiting", "in flight", "in retry", "dead", "lag", "backlog", "target"];

/// One rule's line: for each column its text and style.
fn columns(rule: &RuleView, now: SystemTime) -> [(&'static str, String, Tone); 9] {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let (state, tone) = state_of(rule, now);
    let dead = if rule.dead_letters.is_some_and(|letters| letters > 0) { Tone::Careful } else { Tone::Plain };
    let more = if rule.has_unread && rule.unresolved.is_some() { "+" } else { "" };
    let lag = lag_text(rule.lag_seconds, rule.lag_is_bound, short);
    let cells = [
        (rule.rule.clone(), Tone::Plain),
        (state, tone),
        (format!("{}{more}", number(rule.unresolved)), Tone::Plain),
        (number(rule.in_flight), Tone::Plain),
        (number(rule.in_retry), Tone::Plain),
        (number(rule.dead_letters), dead),
        (lag, Tone::Plain),
        (rule.backlog_bytes.map_or("-".to_owned(), bytes), Tone::Plain),
        (rule.target.clone().unwrap_or("-".to_owned()), Tone::Plain),
    ];
    let mut names = HEAD.into_iter();
    cells.map(|(text, tone)| (names.next().expect("a name for each cell"), text, tone))
}

/// Cuts the names in the first column in their middle, so that the line fits and each stays another one.
fn shorten_names(head: &[&str], rows: &mut [Vec<(String, Tone)>], width: usize) {
    let columns = |text: &str| clean(text).chars().map(columns_of).sum::<usize>();
    let widest = |at: usize| {
        let cells = rows.iter().map(|cells| columns(&cells[at].0));
        cells.chain([columns(head[at])]).max().unwrap_or(0)
    };
    // Targets are cut at their end, down to this.
    let others: usize = (1..head.len()).map(|at| 2 + if head[at] == "target" { 12 } else { widest(at) }).sum();
    let room = width.saturating_sub(others).max(NAME_COLUMNS_MIN);
    let names: Vec<&str> = rows.iter().map(|cells| cells[0].0.as_str()).collect();
    let cut = output::cut_in_the_middle(&names, room);
    for (cells, name) in rows.iter_mut().zip(cut) {
        cells[0].0 = name;
    }
}

/// What is left of a name where the line has room for nothing.
const NAME_COLUMNS_MIN: usize = 8;

fn state_of(rule: &RuleView, now: SystemTime) -> (String, Tone) {
    let since = |at: &Option<String>| at.as_deref().map_or("?".to_owned(), |at| ago(at, now, span));
    match rule.state.as_deref() {
        Some(state::PAUSED) => (format!("paused {}", since(&rule.paused_since)), Tone::Careful),
        Some(state::DETACHED) => (format!("detached {}", since(&rule.detached_since)), Tone::Careful),
        Some(state::STOPPED) => (state::STOPPED.to_owned(), Tone::Bad),
        Some(other) => (other.to_owned(), Tone::Good),
        None => ("-".to_owned(), Tone::Plain),
    }
}

/// Below the table, where there is room for it. Why one is stopped is said above.
fn reason(rule: &RuleView) -> Option<String> {
    let (why, state) = (rule.why.as_deref().filter(|why| !why.is_empty())?, rule.state.as_deref()?);
    (state != state::STOPPED).then(|| format!("{} is {state}: {}\n", rule.rule, clean(why)))
}

/// Below the table, too.
fn to_drop(rule: &RuleView) -> Option<String> {
    let RetentionView { to_drop, drop_from, .. } = rule.retention.as_ref()?;
    let from = drop_from.as_deref().filter(|_| *to_drop > 0)?;
    let letters = output::count(*to_drop, "dead letter", "dead letters");
    Some(format!("{letters} of {} will be dropped from {} on (`dead_letters`)\n", rule.rule, clean(from)))
}

fn waiting_line(target: &TargetView) -> String {
    let until = target.waiting_until.as_deref().unwrap_or("?");
    let error = target.last_error.as_ref().map_or(String::new(), |error| format!(": {}", clean(error)));
    format!("{} asked for a pause until {}{error}\n", clean(&target.target), clean(until))
}

fn facts(status: &StatusView, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(source) = &status.source {
        let version = source.version.as_deref().map_or(String::new(), |version| format!(", MySQL {version}"));
        facts.push(("source", format!("{}{version}", source.address)));
    }
    facts.extend(status.position.as_ref().map(|position| ("position", position_text(position))));
    if let Some(at) = &status.read_up_to {
        facts.push(("newest change", format!("{at} ({} ago)", ago(at, now, short))));
    }
    match (status.runway_seconds, status.source.as_ref().and_then(|source| source.binlog_kept_seconds)) {
        (Some(left), _) => {
            let left = span(Duration::from_secs(left));
            facts.push(("runway", format!("{left} until the server may purge what is still needed")));
        }
        (None, Some(0)) => facts.push(("runway", "the server purges nothing by age".to_owned())),
        (None, _) => {}
    }
    if let Some(pin) = &status.binlog_pin {
        facts.push(("binlog pinned", pin_text(pin, now)));
    }
    if status.running {
        let at = status.checkpointed_at.as_deref();
        let text = at.map_or("none since the start".to_owned(), |at| format!("{} ago", ago(at, now, span)));
        facts.push(("checkpoint", text));
    }
    facts.push(("data", data_text(status)));
    facts.extend(status.journal.as_ref().map(|journal| ("journal", journal_text(journal, now))));
    let own = env!("CARGO_PKG_VERSION");
    let version = &status.version;
    facts.push(("rowhook", if version == own { version.clone() } else { format!("{version} (this command: {own})") }));
    facts
}

fn data_text(status: &StatusView) -> String {
    match &status.storage {
        Some(StorageView { used_bytes, free_bytes, .. }) => {
            format!("{}: {}, {} free", status.data, bytes(*used_bytes), bytes(*free_bytes))
        }
        None => status.data.clone(),
    }
}

fn journal_text(journal: &JournalView, now: SystemTime) -> String {
    let mut text = bytes(journal.bytes);
    text += &match &journal.since {
        Some(since) => format!(", entries since {since} ({} ago)", ago(since, now, short)),
        None => ", no entries yet".to_owned(),
    };
    if journal.missed > 0 {
        text += &format!("; {}", output::count(journal.missed, "delivery is missing", "deliveries are missing"));
    }
    journal.problem.iter().for_each(|problem| text += &format!("; {problem}"));
    text
}

fn pin_text(pin: &BinlogPinView, now: SystemTime) -> String {
    let (file, rules, since) = (&pin.file, pin.rules.join(", "), ago(&pin.since, now, span));
    if pin.pinned {
        format!("from {file} on, for {since}, for {rules}; the server purges nothing and its disk may fill")
    } else {
        format!("not at the moment, the log says why; needed from {file} on, for {since}, for {rules}")
    }
}

/// The GTID set of a server with a long history is long, so it is cut; file and offset name the same position.
fn position_text(position: &PositionView) -> String {
    const GTIDS_CHARACTERS_MAX: usize = 100;
    let place = format!("{}:{}", position.file, position.offset);
    match &position.gtids {
        Some(gtids) if gtids.len() <= GTIDS_CHARACTERS_MAX => format!("{place}, {gtids}"),
        Some(gtids) => format!("{place}, {}…", &gtids[..GTIDS_CHARACTERS_MAX]),
        None => place,
    }
}

#[cfg(test)]
pub(super) mod tests;
