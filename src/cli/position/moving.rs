//! `rowhook position set`: finds the new position, says what it skips and repeats, and moves there if it is confirmed.
//!
//! In: the arguments, the store, the server. Out: the plan on stdout; with `--yes` the new low-water marks, durable together
//! with their entry in the log. Keeps the store open from the first read to the end, so that what was shown is what is done. If
//! a running daemon has the store, the error names it and the command to type once it is stopped.

use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use uuid::Uuid;

use super::plan::{self, MarkMove, MovableMark};
use super::{PlaceArgs, SetArgs};
use crate::admin::view::rfc3339;
use crate::admin::{move_in_store, require_rule};
use crate::cli::output::{self, clean, count};
use crate::cli::reach::{Reach, read_saved};
use crate::cli::{CommandVerdict, instance, source_settings};
use crate::clock::now_us;
use crate::config::{self, File};
use crate::position::{Gtid, GtidSet, Position, Resume, Start};
use crate::source::{Between, Count, EncryptedServers, NextTransaction, Places, Settings, What};
use crate::store::{PositionChange, PositionMove, Saved, SavedCheckpoint, Store};

/// Where to.
enum Wanted {
    After(Gtid),
    SkipTransaction,
    To(Start),
}

/// The planned moves, as they are shown.
struct Plan {
    ways: Vec<(MovableMark, MarkMove)>,
    moves: Vec<PositionMove>,
    text: String,
}

pub(super) async fn run(args: SetArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let SetArgs { rule, place, note, yes, data, source } = args;
    let (wanted, how) = wanted(place)?;
    let data = data.resolve(file);
    let command = command(rule.as_deref(), &how);
    let store = match Reach::open(&data).await? {
        Reach::Store(store) => store,
        Reach::Daemon(_) => bail!(
            "a running rowhook has data directory {}, and its positions move on: stop it, then type `{command}` to see what \
             that skips; a detached rule can also be moved while it runs: `rowhook resume RULE --from WHERE`",
            data.display()
        ),
    };
    let saved = read_saved(&store).await?;
    if let Some(rule) = &rule {
        require_rule(&saved, rule)?;
    }
    let (checkpoint, known) = checkpoint(saved)?;
    let encrypted = Arc::new(EncryptedServers::kept_in(&data));
    let settings = settings(source_settings::of(source.resolve(file)?, &encrypted)?, &data)?;
    let mut places = Places::open(settings).await?;
    let marks = plan::marks(&checkpoint, rule.as_deref());
    let plan = match &wanted {
        Wanted::SkipTransaction => past_next(&mut places, marks).await?,
        Wanted::After(gtid) => {
            let to = places.behind(gtid).await?;
            to_place(&mut places, marks, to, true).await?
        }
        Wanted::To(start) => {
            let to = places.find(start).await?;
            // The place in the files where a GTID set ends is unknown.
            to_place(&mut places, marks, to, !matches!(start, Start::After(_))).await?
        }
    };
    output::print(&plan.text)?;
    if plan.moves.is_empty() {
        output::print("nothing is to be done\n")?;
        return Ok(CommandVerdict::Done);
    }
    if !yes {
        output::print(&(clean(&format!("nothing is changed; to do it: {command} --yes")) + "\n"))?;
        return Ok(CommandVerdict::Problems);
    }
    write(&store, checkpoint, known, plan, (how, note)).await?;
    output::print("done; `rowhook position show` has it, and the next start goes on there\n")?;
    Ok(CommandVerdict::Done)
}

fn wanted(place: PlaceArgs) -> anyhow::Result<(Wanted, String)> {
    let PlaceArgs { after, skip_transaction: _, to } = place;
    Ok(match (after, to) {
        (Some(after), _) => (Wanted::After(gtid(&after)?), format!("--after {after}")),
        (None, Some(to)) => (Wanted::To(config::parse_start("to", &to)?), format!("--to {to}")),
        (None, None) => (Wanted::SkipTransaction, "--skip-transaction".to_string()),
    })
}

/// One GTID: a set with one member.
fn gtid(text: &str) -> Result<Gtid, config::Error> {
    let set = text.parse::<GtidSet>().unwrap_or_default();
    let mut intervals = set.intervals();
    match (intervals.next(), intervals.next()) {
        (Some((uuid, tag, (first, last))), None) if first == last => Ok(Gtid { uuid, tag: tag.clone(), number: first }),
        _ => Err(config::Error::invalid("after", text, "expected one GTID: uuid:1534, or uuid:tag:1534")),
    }
}

fn command(rule: Option<&str>, how: &str) -> String {
    let rule = rule.map_or(String::new(), |rule| format!(" --rule {rule}"));
    format!("rowhook position set{rule} {how}")
}

fn checkpoint(saved: Saved) -> anyhow::Result<(SavedCheckpoint, Vec<Arc<str>>)> {
    let checkpoint = saved.checkpoint.ok_or_else(|| {
        anyhow!("this data directory has no position yet; say where the first start begins: rowhook run --start WHERE")
    })?;
    // Without their names, rules that say where they begin would be taken for new ones.
    let known = checkpoint.known.clone();
    let known =
        known.ok_or_else(|| anyhow!("an earlier version wrote this data directory; start this one once before"))?;
    Ok((checkpoint, known))
}

/// The settings with another identity: the server ends the older one of two readers with the same identity.
fn settings(source: Settings, data: &Path) -> anyhow::Result<Settings> {
    let instance = instance::find(data)?.unwrap_or_else(Uuid::new_v4);
    Ok(Settings { instance: Uuid::new_v5(&instance, b"position"), server_id: None, ..source })
}

/// Moves all these marks to one position.
async fn to_place(places: &mut Places, marks: Vec<MovableMark>, to: Position, is_exact: bool) -> anyhow::Result<Plan> {
    let mut plan = Plan { ways: Vec::new(), moves: Vec::new(), text: String::new() };
    let mut counted: Vec<(Position, Between)> = Vec::new();
    for mark in marks {
        let from = &mark.resume.position;
        let is_there = *from == to && mark.resume.within.is_empty();
        let known = counted.iter().find(|(position, _)| position == from).map(|(_, between)| between.clone());
        let between = match known {
            Some(between) => between,
            None => {
                let between = places.between(from, &to, is_exact).await?;
                counted.push((from.clone(), between.clone()));
                between
            }
        };
        if !is_there {
            plan.moves(&mark, &to, &between);
            plan.ways.push((mark, MarkMove::To(plan::at(to.clone()))));
        }
    }
    let end = places.find(&Start::Latest).await?;
    let ahead = places.between(&to, &end, is_exact).await?.skipped;
    plan.text += &format!("behind {to}, the log has {} so far\n", amount(ahead));
    plan.text += &prepared_text(places).await;
    Ok(plan)
}

/// Moves past the transaction after the first of these marks, which is the main stream's or the one rule's.
async fn past_next(places: &mut Places, marks: Vec<MovableMark>) -> anyhow::Result<Plan> {
    let mut plan = Plan { ways: Vec::new(), moves: Vec::new(), text: String::new() };
    let Some(base) = marks.first().map(|mark| mark.resume.position.clone()) else { return Ok(plan) };
    let next = places.next(&base).await?;
    let next = next.ok_or_else(|| anyhow!("nothing comes behind {base}: the log ends there"))?;
    plan.text += &transaction_text(&next);
    let skipped = Count { transactions: Some(1), bytes: Some(next.bytes()) };
    let repeated = Count { transactions: Some(0), bytes: Some(0) };
    let left_prepared = u64::from(*next.what() == What::XaPrepare);
    let between = Between { skipped, repeated, left_prepared, unknown: None };
    for mark in marks {
        let way = way_past(places, &next, &base, &mark.resume).await;
        match &way {
            MarkMove::To(resume) => plan.moves(&mark, &resume.position, &between),
            MarkMove::StaysLate => plan.text += &stays_text(&mark),
            MarkMove::Stays => {}
        }
        plan.ways.push((mark, way));
    }
    Ok(plan)
}

async fn way_past(places: &mut Places, next: &NextTransaction, base: &Position, mark: &Resume) -> MarkMove {
    if next.is_before(&mark.position) {
        return MarkMove::Stays;
    }
    let is_next = mark.position == *base
        // Nothing can be read from this mark, so it is not directly before the transaction.
        || places.next(&mark.position).await.is_ok_and(|own| own.is_some_and(|own| own.is_same(next)));
    let schema = if next.may_define() { Arc::default() } else { mark.schema.clone() };
    if is_next {
        return MarkMove::To(Resume { schema, ..plan::at(next.passed_from(&mark.position)) });
    }
    // The definitions known in between lack what this transaction may define.
    match next.without(&mark.position).filter(|_| !next.may_define()) {
        Some(position) => MarkMove::To(Resume { position, ..mark.clone() }),
        None => MarkMove::StaysLate,
    }
}

impl Plan {
    fn moves(&mut self, mark: &MovableMark, to: &Position, between: &Between) {
        let Between { skipped, repeated, left_prepared, unknown } = between;
        let from = &mark.resume.position;
        let counts = match unknown {
            Some(problem) => format!("what that skips and repeats can't be counted: {problem}"),
            None => plan::counts_text(plan::of(*skipped), plan::of(*repeated)),
        };
        self.text += &clean(&format!("{}: from {from} to {to}: {counts}", of(mark)));
        self.text.push('\n');
        if *left_prepared > 0 {
            let prepared = count(*left_prepared, "XA transaction", "XA transactions");
            self.text +=
                &format!("  with {prepared} prepared there: the rows are not delivered, also when committed later\n");
        }
        self.moves.push(PositionMove {
            rule: mark.rule.as_ref().map(ToString::to_string),
            from: from.to_string(),
            to: to.to_string(),
            skipped_transactions: skipped.transactions,
            skipped_bytes: skipped.bytes,
            repeated_transactions: repeated.transactions,
            repeated_bytes: repeated.bytes,
        });
    }
}

fn of(mark: &MovableMark) -> String {
    mark.rule.as_ref().map_or("main stream".to_string(), |rule| format!("rule {rule}"))
}

fn amount(count: Count) -> String {
    let bytes = count.bytes.map(|bytes| output::count(bytes, "byte", "bytes"));
    match (count.transactions, bytes) {
        (Some(transactions), Some(bytes)) => {
            format!("{}, {bytes}", output::count(transactions, "transaction", "transactions"))
        }
        (Some(transactions), None) => output::count(transactions, "transaction", "transactions"),
        (None, Some(bytes)) => format!("{bytes} of transactions that were not counted"),
        (None, None) => "what can't be counted".to_string(),
    }
}

fn transaction_text(next: &NextTransaction) -> String {
    let name = next.gtid().map_or("without a GTID".to_string(), ToString::to_string);
    let committed = match next.committed_at_us() {
        0 => String::new(),
        at_us => format!(", committed {}", rfc3339(at_us)),
    };
    let tables = match next.tables() {
        [] => String::new(),
        tables => format!(" ({})", tables.join(", ")),
    };
    let with = if next.decides_prepared() {
        "; and the XA transaction that it decides, which was prepared before"
    } else {
        ""
    };
    let (begin, bytes, what) = (next.begin(), count(next.bytes(), "byte", "bytes"), next.what());
    clean(&format!("transaction {name} at {begin}{committed}, {bytes}: {what}{tables}{with}")) + "\n"
}

fn stays_text(mark: &MovableMark) -> String {
    let (of, place) = (of(mark), &mark.resume.position);
    let rule = mark.rule.as_deref().unwrap_or_default();
    clean(&format!(
        "{of}: stays at {place}, so that nothing before that transaction is lost; is read for alone, and stops there alone: \
         then `rowhook position set --rule {rule} --skip-transaction`"
    )) + "\n"
}

async fn prepared_text(places: &mut Places) -> String {
    match places.prepared().await {
        0 => String::new(),
        prepared => format!(
            "{prepared} XA transactions are prepared (XA RECOVER): those that were prepared before the new place are not \
             delivered when they are committed\n"
        ),
    }
}

async fn write(
    store: &Store,
    checkpoint: SavedCheckpoint,
    known: Vec<Arc<str>>,
    plan: Plan,
    (how, note): (String, Option<String>),
) -> anyhow::Result<()> {
    let now_us = now_us();
    let Plan { ways, moves, .. } = plan;
    let set = plan::moved(checkpoint, known, ways, now_us);
    let change = PositionChange { at_us: now_us, by: user(), how, note, moves };
    Ok(move_in_store(store, set, change).await?)
}

/// The user who runs this process.
fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let names = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&names, uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of a user in the form of `/etc/passwd`: name, password, number, and so on.
fn name_of(names: &str, uid: u32) -> Option<String> {
    names.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn one_gtid_is_one_transaction() {
        for (text, expected) in [
            (format!("{UUID}:7"), true),
            (format!("{UUID}:tag:7"), true),
            (format!("{UUID}:7-7"), true),
            (format!("{UUID}:7-8"), false),
            (format!("{UUID}:7:tag:7"), false),
            ("binlog.000001:4".to_string(), false),
            (String::new(), false),
        ] {
            assert_eq!(gtid(&text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_user_is_named_as_the_system_does() {
        let names = "root:x:0:0:root:/root:/bin/sh\n:x:5:5::/:\nbroken\nrowhook:x:998:998::/var/lib/rowhook:\n";
        for (uid, expected) in [(0, Some("root")), (998, Some("rowhook")), (5, None), (7, None)] {
            assert_eq!(name_of(names, uid).as_deref(), expected);
        }
    }
}
