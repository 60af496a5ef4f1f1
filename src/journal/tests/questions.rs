//! Questions to the journal: every filter, page by page, by the indexes; counts; the queries that the documentation has for other tools.

use std::fs;
use std::ops::Range;
use std::path::Path;

use rusqlite::params_from_iter;
use rusqlite::types::Value;
use uuid::Uuid;

use super::super::query::{ATTEMPTS, BY_ID};
use super::super::rows::FORGET;
use super::super::schema::PART_ENTRIES;
use super::*;
use crate::failure::AnswerFilter;

#[test]
fn every_filter_finds_what_fits_and_the_newest_comes_first() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, delivered(), &[200]), order(2, dead(), &[404])], HOUR_US));
    write(&mut journal, &entries(&[order(3, dead(), &[0, 0]), order(4, delivered(), &[503, 201])], 2 * HOUR_US));
    write(&mut journal, &entries(&[order(6, Outcome::Blocked { by: 1 }, &[])], 3 * HOUR_US));
    let reader = fixture.reader();
    let all = JournalFilter::default();
    let answer = |text: &str| JournalFilter { answer: AnswerFilter::parse(text), ..JournalFilter::default() };
    let outcome = |word: &str| JournalFilter { outcome: JournalOutcome::parse(word), ..JournalFilter::default() };
    let text = |text: &str| Some(text.to_string());
    for (filter, expected) in [
        (all.clone(), &["6", "4", "3", "2", "1"][..]),
        (JournalFilter { rule: text("paid"), ..all.clone() }, &["6", "4", "3", "2", "1"]),
        (JournalFilter { rule: text("other"), ..all.clone() }, &[]),
        (JournalFilter { table: text("shop.orders"), ..all.clone() }, &["6", "4", "3", "2", "1"]),
        (JournalFilter { table: text("shop.items"), ..all.clone() }, &[]),
        (JournalFilter { key: text("4"), ..all.clone() }, &["4"]),
        (JournalFilter { key: text("5"), ..all.clone() }, &[]),
        (JournalFilter { key: text("4"), ..answer("503") }, &["4"]),
        (JournalFilter { since_us: Some(2 * HOUR_US), ..all.clone() }, &["6", "4", "3"]),
        (JournalFilter { until_us: Some(2 * HOUR_US), ..all.clone() }, &["2", "1"]),
        (JournalFilter { since_us: Some(u64::MAX), ..all.clone() }, &[]),
        (outcome("delivered"), &["4", "1"]),
        (outcome("dead"), &["3", "2"]),
        (outcome("blocked"), &["6"]),
        (outcome("coalesced"), &[]),
        (answer("404"), &["2"]),
        (answer("4xx"), &["2"]),
        (answer("5xx"), &["4"]),
        (answer("2xx"), &["4", "1"]),
        (answer("200"), &["1"]),
        (answer("network"), &["3"]),
        (JournalFilter { until_us: Some(2 * HOUR_US), ..outcome("dead") }, &["2"]),
        (JournalFilter { reason: Some(Reason::Exhausted), ..all.clone() }, &["3", "2"]),
        (JournalFilter { reason: Some(Reason::Refused), ..all.clone() }, &[]),
    ] {
        assert_eq!(keys(&reader, &filter), expected, "{filter:?}");
    }
}

#[test]
fn an_answer_of_the_journal_is_what_it_is_of_dead_letters() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let status = |status| Answer::Status { status, excerpt: String::new() };
    let failed = |error: &str| Answer::Failed { error: error.to_string() };
    let answers = [
        status(200),
        status(204),
        status(302),
        status(404),
        status(503),
        failed("connection refused"),
        failed("no answer within 10s"),
        failed("no connection within 5s"),
        failed("not found within the zone"),
    ];
    for (id, answer) in (1..).zip(&answers) {
        let attempt = Attempt { started_at_us: 1, duration_us: 1, answer: answer.clone() };
        let attempted = Completed { attempts: Attempts::new(vec![attempt], 1), ..order(id, delivered(), &[]) };
        write(&mut journal, &entries(&[attempted], id as u64));
    }
    let reader = fixture.reader();
    for word in ["200", "204", "302", "404", "2xx", "3xx", "4xx", "5xx", "network", "timeout"] {
        let filter = AnswerFilter::parse(word).expect(word);
        let matches = |answer: &Answer| match answer {
            Answer::Status { status, .. } => filter.matches(Some(*status), None),
            Answer::Failed { error } => filter.matches(None, Some(error)),
            other => panic!("not used here: {other:?}"),
        };
        let fitting = answers.iter().enumerate().rev().filter(|(_, answer)| matches(answer));
        let expected: Vec<String> = fitting.map(|(n, _)| (n + 1).to_string()).collect();
        let found = keys(&reader, &JournalFilter { answer: Some(filter), ..JournalFilter::default() });
        assert_eq!(found, expected, "{word}");
        assert!(!found.is_empty(), "{word}");
    }
}

#[test]
fn pages_follow_each_other_without_a_row_twice_or_left_out() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let orders: Vec<Completed> = (1..=7).map(|id| order(id, delivered(), &[200])).collect();
    write(&mut journal, &entries(&orders[..4], 5));
    write(&mut journal, &entries(&orders[4..], 4));
    let reader = fixture.reader();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = reader.list(&JournalFilter { after, ..JournalFilter::default() }, 3).expect("a page");
        found.extend(page.rows.iter().map(|row| row.key.clone().expect("a key")));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["7", "6", "5", "4", "3", "2", "1"], "in the order of outcomes, also where the clock went back");
}

#[test]
fn an_id_and_a_key_are_found_in_every_part() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let first = order(1, delivered(), &[200]);
    let mut all = entries(&[first], HOUR_US);
    let filler = all[0].clone();
    all.extend((2..2 * PART_ENTRIES + 10).map(|n| JournalEntry {
        id: DeliveryId(Uuid::from_u128(n as u128)),
        key: Some(n.to_string().into()),
        committed_us: n as u64,
        ..filler.clone()
    }));
    write(&mut journal, &all);
    let reader = fixture.reader();
    for key in [1, 2, PART_ENTRIES - 1, PART_ENTRIES, 2 * PART_ENTRIES, 2 * PART_ENTRIES + 9].map(|key| key.to_string())
    {
        assert_eq!(keys(&reader, &JournalFilter { key: Some(key.clone()), ..JournalFilter::default() }), [key]);
    }
    assert!(reader.show(DeliveryId(Uuid::max())).expect("readable").is_none());
    // It comes again when its part is full, and then twice in the part that is not, before and after a start.
    let again = JournalEntry { is_of_stream: false, ..filler.clone() };
    for times in 1..=4 {
        let (row, attempts) = reader.show(filler.id).expect("readable").expect("there");
        assert_eq!((row.times, attempts.len()), (times, times as usize));
        let of_key = JournalFilter { key: Some("1".to_string()), ..JournalFilter::default() };
        assert_eq!(keys(&reader, &of_key), ["1"]);
        if times == 3 {
            journal.end().expect("ended");
            journal = fixture.open();
        }
        write(&mut journal, std::slice::from_ref(&again));
    }
    let parts: i64 = reader.connection.query_row("SELECT count(*) FROM part", [], |row| row.get(0)).expect("a count");
    assert_eq!(parts, 3);
}

/// No question reads a table as a whole, but for those that begin at its newest entry and end when they have enough.
#[test]
fn lookups_use_their_indexes() {
    let fixture = Fixture::new();
    write(&mut fixture.open(), &entries(&[order(1, dead(), &[404, 404])], HOUR_US));
    let reader = fixture.reader();
    let plan = |sql: &str, values: Vec<Value>| -> Vec<String> {
        let mut plan = reader.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("SQL");
        let lines = plan.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).expect("a plan");
        lines.map(|line| line.expect("a line")).collect()
    };
    let (rule, key) = (Some("paid".to_string()), Some("1".to_string()));
    let answer = |word: &str| AnswerFilter::parse(word);
    let all = JournalFilter::default();
    let of_key = || JournalFilter { key: key.clone(), ..JournalFilter::default() };
    for (filter, expected) in [
        (all, "SCAN d"),
        (JournalFilter { rule: rule.clone(), ..of_key() }, "k USING PRIMARY KEY (part=? AND key=?)"),
        (JournalFilter { answer: answer("404"), ..of_key() }, "k USING PRIMARY KEY (part=? AND key=?)"),
        (JournalFilter { rule, ..JournalFilter::default() }, "p USING PRIMARY KEY"),
        (JournalFilter { outcome: Some(JournalOutcome::Dead), ..JournalFilter::default() }, "delivery_outcome"),
        (JournalFilter { reason: Some(Reason::Exhausted), ..JournalFilter::default() }, "delivery_outcome"),
        (JournalFilter { answer: answer("network"), ..JournalFilter::default() }, "attempt_failed"),
        (JournalFilter { answer: answer("404"), ..JournalFilter::default() }, "delivery_failed"),
        (JournalFilter { since_us: Some(1), ..JournalFilter::default() }, "d USING INTEGER PRIMARY KEY"),
    ] {
        let (sql, values) = reader.sql(&filter, 9).expect("SQL").expect("what fits");
        let plan = plan(&sql, values);
        assert!(plan.iter().any(|line| line.contains(expected)), "{filter:?}\n{sql}\n{plan:#?}");
        let scans = |line: &&String| line.starts_with("SCAN") && !line.contains("INDEX");
        let scanned: Vec<&String> = plan.iter().filter(scans).collect();
        let may_be = ["SCAN found", "SCAN p", expected];
        assert!(scanned.iter().all(|line| may_be.contains(&line.as_str())), "{filter:?}\n{sql}\n{plan:#?}");
    }
    for (sql, values) in [(ATTEMPTS, 1), (FORGET, 2), (BY_ID, 1)] {
        let plan = plan(sql, vec![Value::Integer(1); values]);
        assert!(!plan.iter().any(|line| line.starts_with("SCAN") && line != "SCAN p"), "{sql}\n{plan:#?}");
    }
}

#[test]
fn stats_count_by_rule_and_period() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, delivered(), &[200]), order(2, dead(), &[503, 503])], HOUR_US + 5));
    write(&mut journal, &entries(&[order(3, delivered(), &[0, 200])], 2 * HOUR_US + 5));
    let reader = fixture.reader();
    let found = |rule, ended_us: Range<u64>, period| -> Vec<(u64, u64, u64, u64, bool)> {
        let rows = reader.stats(rule, ended_us, period).expect("stats");
        rows.iter()
            .map(|row| (row.from_us / HOUR_US, row.delivered, row.retried, row.dead, row.durations.is_some()))
            .collect()
    };
    let ever = || 0..u64::MAX;
    assert_eq!(found(None, ever(), StatsPeriod::Hour), [(1, 1, 1, 1, true), (2, 1, 1, 0, true)]);
    assert_eq!(found(Some("paid"), 2 * HOUR_US..u64::MAX, StatsPeriod::Hour), [(2, 1, 1, 0, true)]);
    assert_eq!(found(None, 0..2 * HOUR_US, StatsPeriod::Hour), [(1, 1, 1, 1, true)]);
    assert_eq!(found(None, ever(), StatsPeriod::Day), [(0, 2, 2, 1, true)]);
    assert!(
        found(Some("other"), ever(), StatsPeriod::Day).is_empty()
            && found(None, u64::MAX..u64::MAX, StatsPeriod::Day).is_empty()
    );
}

#[test]
fn the_queries_of_the_documentation_run_and_the_one_by_key_asks_each_part() {
    let fixture = Fixture::new();
    write(&mut fixture.open(), &entries(&[order(10_006, dead(), &[503, 0])], 1_763_680_000_000_000));
    let reader = fixture.reader();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/journal.md");
    let page = fs::read_to_string(page).expect("the page");
    let queries: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert_eq!(queries.len(), 3);
    let rows = |sql: &str| {
        let mut statement = reader.connection.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let column = statement.column_count() - 1;
        let rows = statement.query_map([], |row| row.get::<_, rusqlite::types::Value>(column)).expect("rows");
        rows.collect::<rusqlite::Result<Vec<_>>>().expect("rows").len()
    };
    assert_eq!(queries.iter().map(|sql| rows(sql)).collect::<Vec<_>>(), [1, 0, 2]);
    let plan = format!("EXPLAIN QUERY PLAN {}", queries[0]);
    let mut plan = reader.connection.prepare(&plan).expect("SQL");
    let plan = plan.query_map([], |row| row.get::<_, String>(3)).expect("a plan");
    assert!(plan.map(|line| line.expect("a line")).any(|line| line.contains("k USING PRIMARY KEY (part=? AND key=?)")));
}

#[test]
fn the_view_says_in_words_what_the_tables_say_in_numbers() {
    let fixture = Fixture::new();
    write(&mut fixture.open(), &entries(&[order(1, dead(), &[503])], 1_763_680_000_123_456));
    let reader = fixture.reader();
    let columns = "id, resolved_at, rule, watched_table, target, op, key, outcome, reason, status";
    let row: Vec<String> = reader
        .connection
        .query_row(&format!("SELECT {columns} FROM deliveries"), [], |row| {
            (0..9).map(|n| row.get(n)).collect::<rusqlite::Result<_>>()
        })
        .expect("a row");
    let id = reader.list(&JournalFilter::default(), 1).expect("a page").rows[0].id.to_string();
    let words =
        ["2025-11-20T23:06:40.123Z", "paid", "shop.orders", "https://api.test", "update", "1", "dead", "exhausted"];
    assert_eq!(row[0], id);
    assert_eq!(row[1..], words);
}

#[test]
fn times_are_found_by_their_parts_also_where_the_clock_went_back() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let mut next = 0;
    // Two parts by the hour 5, then the clock goes back to the hour 3, within a part.
    for (hour, count) in [(1, PART_ENTRIES), (5, PART_ENTRIES + 10), (3, 20), (6, 5)] {
        let filler = entries(&[order(1, delivered(), &[200])], hour * HOUR_US)[0].clone();
        let all: Vec<JournalEntry> = (0..count)
            .map(|_| {
                next += 1;
                let id = DeliveryId(Uuid::from_u128(next));
                JournalEntry { id, key: Some(next.to_string().into()), committed_us: next as u64, ..filler.clone() }
            })
            .collect();
        write(&mut journal, &all);
    }
    let reader = fixture.reader();
    let count = |from: u64, until: u64| -> usize {
        let (since_us, until_us) = (Some(from * HOUR_US), Some(until * HOUR_US));
        let filter = JournalFilter { since_us, until_us, ..JournalFilter::default() };
        let listed = reader.list(&filter, 1_000_000).expect("a page").rows.len();
        let stats = reader.stats(None, from * HOUR_US..until * HOUR_US, StatsPeriod::Hour).expect("stats");
        assert_eq!(stats.iter().map(|row| row.delivered).sum::<u64>(), listed as u64, "{from} to {until}");
        listed
    };
    let part = PART_ENTRIES as usize;
    let expected =
        [((0, 9), 2 * part + 35), ((1, 2), part), ((2, 4), 20), ((3, 6), part + 30), ((6, 9), 5), ((7, 9), 0)];
    for ((from, until), expected) in expected {
        assert_eq!(count(from, until), expected, "{from} to {until}");
    }
}

#[test]
fn a_rule_with_few_entries_is_found_in_the_parts_that_have_them() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let usual = entries(&[order(1, delivered(), &[200])], HOUR_US)[0].clone();
    let text = "table: shop.orders\nrules: [{name: rare, call: {url: https://api.test/}}]\n".to_string();
    let rules = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("a rule");
    let rare = JournalEntry { rule: Arc::clone(&rules.rules()[0]), ..usual.clone() };
    let mut next = 0;
    for (entry, count) in [(&usual, 5), (&rare, 1), (&usual, 2 * PART_ENTRIES), (&rare, 2), (&usual, PART_ENTRIES)] {
        let numbered = |_| {
            next += 1;
            let id = DeliveryId(Uuid::from_u128(next));
            JournalEntry { id, key: Some(next.to_string().into()), committed_us: next as u64, ..entry.clone() }
        };
        let all: Vec<JournalEntry> = (0..count).map(numbered).collect();
        write(&mut journal, &all);
    }
    let reader = fixture.reader();
    let parts: i64 =
        reader.connection.query_row("SELECT count(*) FROM part_rule", [], |row| row.get(0)).expect("a count");
    assert_eq!(parts, 4 + 2, "four parts of one rule, two of the other");
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let filter = JournalFilter { rule: Some("rare".to_string()), after, ..JournalFilter::default() };
        let page = reader.list(&filter, 1).expect("a page");
        found.extend(page.rows.iter().map(|row| (row.rule.clone(), row.key.clone().expect("a key"))));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let last = 2 * PART_ENTRIES + 8;
    let expected = [last, last - 1, 6].map(|key| ("rare".to_string(), key.to_string()));
    assert_eq!(found, expected);
}
