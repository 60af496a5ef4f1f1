//! `rowhook status`: the status, on one screen.
//!
//! In: the status of the running daemon, or by the store alone. Out: a table of rules, the targets that are not
//! available, the position of reading; or JSON. The verdict is "problems" when no daemon runs, and when a person must
//! act.

use std::time::{Duration, SystemTime};

use super::CommandVerdict;
use super::output::{self, Columns, Tone, clean, count, short, span};
use super::reach::Reach;
use crate::admin::view::status::{BinlogPinView, PositionView, RuleView, StatusView, TargetView, state};
use crate::config::{DataArgs, File};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook status
  rowhook status --json | jq '.rules[] | select(.state != \"attached\")'

Exit code 1: no rowhook runs on the data directory, a rule is stopped, MySQL can't be read, or the rule files have problems.")]
pub(super) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn run(args: StatusArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let data = args.data.resolve(file);
    let status = Reach::open(&data).await?.status(&data).await?;
    if args.json {
        output::print_json(&status)?;
    } else {
        output::print(&text(&status, SystemTime::now()))?;
    }
    Ok(if needs_a_person(&status) { CommandVerdict::Problems } else { CommandVerdict::Done })
}

fn needs_a_person(status: &StatusView) -> bool {
    let reads = status.source.as_ref().is_some_and(|source| source.problem.is_none());
    let files_are_sound = status.rule_files.as_ref().is_some_and(|files| files.problems_since.is_none());
    let stopped = status.rules.iter().any(|rule| rule.state.as_deref() == Some(state::STOPPED));
    !status.running || !reads || !files_are_sound || stopped
}

fn text(status: &StatusView, now: SystemTime) -> String {
    let mut text = first_line(status, now);
    if let Some(files) = &status.rule_files
        && let Some(since) = &files.problems_since
    {
        text += &format!("rule files are invalid for {}; the previous rules stay active\n", ago(since, now));
        files
            .problems
            .iter()
            .flat_map(|problem| problem.lines())
            .for_each(|line| text += &format!("  {}\n", clean(line)));
    }
    if !status.rules.is_empty() {
        text.push('\n');
        text += &rules(status, now);
        status.rules.iter().filter_map(reason).for_each(|line| text += &line);
    }
    let targets: Vec<&TargetView> = status.targets.iter().filter(|target| target.state != state::AVAILABLE).collect();
    if !targets.is_empty() {
        text.push('\n');
        targets.iter().for_each(|target| text += &target_line(target, now));
    }
    text.push('\n');
    facts(status, now).iter().for_each(|(name, value)| text += &format!("{name:<13} {}\n", clean(value)));
    text
}

fn first_line(status: &StatusView, now: SystemTime) -> String {
    if !status.running {
        return "not running; this is what the store says\n".to_string();
    }
    let since = status.started_at.as_deref().map_or("?".to_string(), |at| ago(at, now));
    let pid = status.pid.map_or("?".to_string(), |pid| pid.to_string());
    let reading = match &status.source {
        Some(source) => match (&source.problem, source.lag_seconds) {
            (Some(problem), _) => format!("not reading: {}", clean(problem)),
            (None, Some(lag)) if lag >= 1.0 => format!("reading, {} behind the newest change", span(seconds(lag))),
            (None, _) => "reading, up to date".to_string(),
        },
        None => "not reading".to_string(),
    };
    format!("running for {since} as process {pid}; {reading}\n")
}

/// Below this many characters a line has no room for all columns.
const WIDTH_OF_ALL: u16 = 80;

fn rules(status: &StatusView, now: SystemTime) -> String {
    let is_narrow = output::terminal_width().is_some_and(|width| width < WIDTH_OF_ALL);
    let fits = |name: &str| !is_narrow || !["in flight", "in retry", "oldest"].contains(&name);
    let rows = status.rules.iter().map(|rule| {
        let cells = columns(rule, now).into_iter();
        cells.filter(|(name, ..)| fits(name)).map(|(_, text, tone)| (text, tone)).collect()
    });
    let head = ["rule", "state", "unresolved", "in flight", "in retry", "dead", "lag", "oldest"];
    let head: Vec<&str> = head.into_iter().filter(|name| fits(name)).collect();
    output::toned_table(&head, rows, &Columns { numbers: (2..head.len()).collect(), whole: vec![1] })
}

/// One rule's line: for each column its text and style.
fn columns(rule: &RuleView, now: SystemTime) -> [(&'static str, String, Tone); 8] {
    let number = |number: Option<u64>| number.map_or("-".to_string(), |number| number.to_string());
    let (state, tone) = state_of(rule, now);
    let dead = if rule.dead_letters.is_some_and(|letters| letters > 0) { Tone::Careful } else { Tone::Plain };
    let lag = rule.lag_seconds.map_or("-".to_string(), |lag| short(seconds(lag)));
    let oldest = rule.oldest_unresolved.as_deref().map_or("-".to_string(), |at| output::age(at, now));
    [
        ("rule", rule.rule.clone(), Tone::Plain),
        ("state", state, tone),
        ("unresolved", number(rule.unresolved), Tone::Plain),
        ("in flight", number(rule.in_flight), Tone::Plain),
        ("in retry", number(rule.in_retry), Tone::Plain),
        ("dead", number(rule.dead_letters), dead),
        ("lag", lag, Tone::Plain),
        ("oldest", oldest, Tone::Plain),
    ]
}

fn state_of(rule: &RuleView, now: SystemTime) -> (String, Tone) {
    let since = |at: &Option<String>| at.as_deref().map_or("?".to_string(), |at| ago(at, now));
    match rule.state.as_deref() {
        Some(state::PAUSED) => (format!("paused {}", since(&rule.paused_since)), Tone::Careful),
        Some(state::DETACHED) => {
            (format!("detached {}", rule.lag_seconds.map_or("?".to_string(), |lag| span(seconds(lag)))), Tone::Careful)
        }
        Some(state::STOPPED) => (state::STOPPED.to_string(), Tone::Bad),
        Some(other) => (other.to_string(), Tone::Good),
        None => ("-".to_string(), Tone::Plain),
    }
}

/// Below the table, where there is room for it.
fn reason(rule: &RuleView) -> Option<String> {
    let (why, state) = (rule.why.as_deref().filter(|why| !why.is_empty())?, rule.state.as_deref()?);
    let line = format!("{} is {state}: {}\n", rule.rule, clean(why));
    Some(match state {
        state::STOPPED => format!("{line}  when that is fixed: rowhook resume {}\n", rule.rule),
        _ => line,
    })
}

fn target_line(target: &TargetView, now: SystemTime) -> String {
    let mut line = match (&target.unavailable_since, &target.waiting_until) {
        (Some(since), _) => format!("{} has not answered for {}", clean(&target.target), ago(since, now)),
        (None, Some(until)) => format!("{} asked for a pause until {}", clean(&target.target), clean(until)),
        (None, None) => clean(&target.target),
    };
    if let Some(error) = &target.last_error {
        line += &format!(": {}", clean(error));
    }
    line + "\n"
}

fn facts(status: &StatusView, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(source) = &status.source {
        let version = source.version.as_deref().map_or(String::new(), |version| format!(", MySQL {version}"));
        facts.push(("source", format!("{}{version}", source.address)));
    }
    facts.extend(status.position.as_ref().map(|position| ("position", position_text(position))));
    if let Some(at) = &status.read_up_to {
        facts.push(("newest change", format!("{at} ({} ago)", output::age(at, now))));
    }
    match (status.runway_seconds, status.source.as_ref().and_then(|source| source.binlog_kept_seconds)) {
        (Some(left), _) => {
            let left = span(Duration::from_secs(left));
            facts.push(("runway", format!("{left} until the server may purge what is still needed")));
        }
        (None, Some(0)) => facts.push(("runway", "the server purges nothing by age".to_string())),
        (None, _) => {}
    }
    if let Some(pin) = &status.binlog_pin {
        facts.push(("binlog pinned", pin_text(pin, now)));
    }
    if status.dead_letters > 0 {
        let letters = count(status.dead_letters, "dead letter");
        facts.push(("dead letters", format!("{letters}; rowhook dead-letters list shows them")));
    }
    match status.awaiting {
        0 => {}
        1 => facts.push(("awaiting", "1 of them needs an operator: its effect is partial".to_string())),
        awaiting => facts.push(("awaiting", format!("{awaiting} of them need an operator: their effect is partial"))),
    }
    match status.blocked {
        0 => {}
        1 => facts.push(("blocked", "1 delivery waits behind them".to_string())),
        blocked => facts.push(("blocked", format!("{blocked} deliveries wait behind them"))),
    }
    facts.push(("data", status.data.clone()));
    let own = env!("CARGO_PKG_VERSION");
    let version = &status.version;
    facts.push(("rowhook", if version == own { version.clone() } else { format!("{version} (this command: {own})") }));
    facts
}

fn pin_text(pin: &BinlogPinView, now: SystemTime) -> String {
    let (file, rules, since) = (&pin.file, pin.rules.join(", "), ago(&pin.since, now));
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

fn ago(at: &str, now: SystemTime) -> String {
    let since = humantime::parse_rfc3339(at).ok().and_then(|at| now.duration_since(at).ok());
    since.map_or("0s".to_string(), span)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::rfc3339;
    use crate::admin::view::status::{RuleFilesView, SourceView};

    /// 2025-11-20T23:06:40Z.
    const NOW_S: u64 = 1_763_680_000;

    fn before(secs: u64) -> Option<String> {
        Some(rfc3339((NOW_S - secs) * 1_000_000))
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
    }

    fn rule(name: &str, state: &str) -> RuleView {
        RuleView {
            rule: name.to_string(),
            target: Some("https://api.example".to_string()),
            state: Some(state.to_string()),
            why: None,
            detached_since: None,
            paused_since: None,
            unresolved: Some(12),
            in_flight: Some(8),
            in_retry: Some(0),
            dead_letters: Some(0),
            lag_seconds: Some(0.2),
            oldest_unresolved: before(4),
            low_water_mark: None,
        }
    }

    fn status() -> StatusView {
        StatusView {
            running: true,
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: Some(4711),
            started_at: before(266_400),
            data: "/var/lib/rowhook".to_string(),
            source: Some(SourceView {
                address: "db.example:3306".to_string(),
                version: Some("9.7.1".to_string()),
                problem: None,
                lag_seconds: Some(0.0),
                binlog_kept_seconds: Some(604_800),
            }),
            position: Some(PositionView {
                server_uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_string(),
                gtids: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77".to_string()),
                file: "binlog.000042".to_string(),
                offset: 1_234_567,
            }),
            read_up_to: before(4),
            runway_seconds: Some(601_000),
            binlog_pin: Some(BinlogPinView {
                since: before(11_000).expect("a time"),
                file: "binlog.000040".to_string(),
                rules: vec!["mail".to_string(), "stock".to_string()],
                pinned: true,
            }),
            rule_files: Some(RuleFilesView { loaded_at: rfc3339(0), problems_since: None, problems: vec![] }),
            rules: vec![
                rule("order-paid", state::ATTACHED),
                RuleView {
                    lag_seconds: Some(192.0),
                    unresolved: Some(8192),
                    dead_letters: Some(3),
                    detached_since: before(1000),
                    oldest_unresolved: before(192),
                    ..rule("mail", state::DETACHED)
                },
                RuleView {
                    paused_since: before(7500),
                    why: Some("their API is moving house".to_string()),
                    oldest_unresolved: None,
                    ..rule("invoice-to-bookkeeping", state::PAUSED)
                },
                RuleView { why: Some("the binlog\u{1b} is gone".to_string()), ..rule("stock", state::STOPPED) },
            ],
            targets: vec![
                TargetView {
                    target: "https://mail.example".to_string(),
                    state: state::UNAVAILABLE.to_string(),
                    unavailable_since: before(190),
                    waiting_until: None,
                    last_error: Some("answered 503".to_string()),
                },
                TargetView {
                    target: "https://api.example".to_string(),
                    state: state::AVAILABLE.to_string(),
                    unavailable_since: None,
                    waiting_until: None,
                    last_error: None,
                },
            ],
            dead_letters: 3,
            blocked: 12,
            awaiting: 2,
        }
    }

    #[test]
    fn the_status_of_a_running_rowhook_fits_one_screen() {
        let expected = "\
running for 3d 2h as process 4711; reading, up to date

rule                    state            unresolved  in flight  in retry  dead  lag  oldest
order-paid              attached                 12          8         0     0   0s      4s
mail                    detached 3m 12s        8192          8         0     3   3m      3m
invoice-to-bookkeeping  paused 2h 5m             12          8         0     0   0s       -
stock                   stopped                  12          8         0     0   0s      4s
invoice-to-bookkeeping is paused: their API is moving house
stock is stopped: the binlog\u{fffd} is gone
  when that is fixed: rowhook resume stock

https://mail.example has not answered for 3m 10s: answered 503

source        db.example:3306, MySQL 9.7.1
position      binlog.000042:1234567, 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77
newest change 2025-11-20T23:06:36.000000Z (4s ago)
runway        6d 22h until the server may purge what is still needed
binlog pinned from binlog.000040 on, for 3h 3m, for mail, stock; the server purges nothing and its disk may fill
dead letters  3 dead letters; rowhook dead-letters list shows them
awaiting      2 of them need an operator: their effect is partial
blocked       12 deliveries wait behind them
data          /var/lib/rowhook
";
        let opening = BinlogPinView { pinned: false, ..status().binlog_pin.expect("it is held") };
        assert!(pin_text(&opening, now()).starts_with("not at the moment"));
        let text = text(&status(), now());
        let (shown, version) = text.split_once("rowhook       ").expect("the version comes last");
        assert_eq!(shown, expected);
        assert_eq!(version, format!("{}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_needs_a_person_is_a_problem_and_a_detached_or_paused_rule_is_none() {
        let sound = StatusView { rules: status().rules[..3].to_vec(), ..status() };
        assert!(!needs_a_person(&sound));
        assert!(needs_a_person(&status()), "a rule is stopped");
        assert!(needs_a_person(&StatusView { running: false, ..sound.clone() }));
        let faulty =
            RuleFilesView { loaded_at: rfc3339(0), problems_since: before(60), problems: vec!["a:1: b".into()] };
        let faulty = StatusView { rule_files: Some(faulty), ..sound.clone() };
        assert!(needs_a_person(&faulty));
        assert!(text(&faulty, now()).contains("rule files are invalid for"));
        let source =
            SourceView { problem: Some("connecting to MySQL, attempt 2".to_string()), ..sound.source.clone().unwrap() };
        let deaf = StatusView { source: Some(source), ..sound };
        assert!(needs_a_person(&deaf));
        assert!(text(&deaf, now()).contains("; not reading: connecting to MySQL, attempt 2\n"));
    }

    #[test]
    fn a_store_without_a_daemon_says_first_that_none_runs() {
        let stored = StatusView { running: false, source: None, targets: vec![], rules: vec![], ..status() };
        assert!(text(&stored, now()).starts_with("not running; this is what the store says\n"));
    }
}
