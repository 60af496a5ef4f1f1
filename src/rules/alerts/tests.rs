//! Alerts of a settings file as they are read: with what they leave out, and with everything that can be wrong.

use super::*;
use crate::alert::{Alert, AlertOrigin, AlertState};
use crate::delivery::{Delivery, ShownWork};

fn load(text: &str) -> Result<Vec<AlertRule>, String> {
    let env = |name: &str| (name == "CHAT_URL").then(|| "https://chat.test/hook".to_owned());
    AlertRule::load(Path::new("rowhook.yaml"), text, &env).map_err(|problems| problems.to_string())
}

fn one(alert: &str) -> AlertRule {
    let mut alerts = load(&format!("window: 5\nalerts:\n  - {alert}\n")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(alerts.len(), 1);
    alerts.remove(0)
}

/// What the call of an alert sends as its body.
fn body(alert: &AlertRule, state: AlertState) -> String {
    let origin = AlertOrigin { host: "db-1".into(), data: "/data".into(), source: "db:3306".into() };
    let change = Arc::new(Alert::example(state, 1_700_000_000_000_000).change(&origin));
    let shown = Delivery::of(&alert.rule, &change).preview().expect("a request");
    let ShownWork::Request(request) = shown.work() else { panic!("a request") };
    request.to_curl()
}

#[test]
fn an_alert_has_all_conditions_with_usual_thresholds_and_sends_itself() {
    let alert = one("{name: a, call: {url: 'http://a.test/'}}");
    assert_eq!(alert.conditions.iter().map(|condition| condition.kind).collect::<Vec<_>>(), ConditionKind::ALL);
    assert_eq!((alert.every, alert.repeat), (EVERY_DEFAULT, Some(REPEAT_DEFAULT)));
    let sent = body(&alert, AlertState::Firing);
    for part in ["\"condition\":\"late\"", "\"state\":\"firing\"", "\"rules\":[\"example-rule\"]", "\"host\":\"db-1\""]
    {
        assert!(sent.contains(part), "{part} in {sent}");
    }
}

#[test]
fn the_call_of_an_alert_is_written_like_that_of_a_rule() {
    let alert = one(
        "{name: chat, every: 30s, repeat: none, retry: {retries: 1}, call: {url: '{{ env.CHAT_URL }}', allow_hosts: \
                     [chat.test], body: {text: \"{{ 'ok' if row.state == 'resolved' else row.title }}\"}}}",
    );
    assert_eq!((alert.every, alert.repeat), (Duration::from_secs(30), None));
    let firing = body(&alert, AlertState::Firing);
    assert!(firing.contains("{\"text\":\"this is a test of rowhook"), "{firing}");
    assert!(body(&alert, AlertState::Resolved).contains("{\"text\":\"ok\"}"));
}

#[test]
fn conditions_are_a_map_with_thresholds_or_a_list_with_the_usual_ones() {
    let conditions = |written: &str| {
        let alert = one(&format!("{{name: a, conditions: {written}, call: {{url: 'http://a.test/'}}}}"));
        alert.conditions.iter().map(|AlertCondition { kind, threshold }| (*kind, *threshold)).collect::<Vec<_>>()
    };
    let late = |minutes: u64| (ConditionKind::Late, Threshold::Lasts(Duration::from_secs(60 * minutes)));
    let letters = |count| (ConditionKind::DeadLetters, Threshold::Count(count));
    assert_eq!(conditions("late"), [late(5)]);
    assert_eq!(conditions("[dead_letters, late, late]"), [late(5), letters(1)]);
    assert_eq!(
        conditions("{dead_letters: 10, late: 90m, disk: true, runway: 12h}"),
        [
            (ConditionKind::Disk, Threshold::Any),
            (ConditionKind::Runway, Threshold::Below(Duration::from_secs(12 * 3600))),
            late(90),
            letters(10),
        ]
    );
    assert_eq!(conditions("{late: , dead_letters: true}"), [late(5), letters(1)]);
}

#[test]
fn a_disabled_alert_is_checked_and_left_out() {
    assert!(load("alerts:\n  - {name: a, enabled: false, call: {url: 'http://a.test/'}}\n").expect("sound").is_empty());
    load("alerts:\n  - {name: a, enabled: false, call: {url: 'a.test'}}\n").expect_err("checked");
    assert!(load("window: 5\n").expect("no alerts").is_empty());
    assert!(load("alerts:\n").expect("no alerts").is_empty());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    const CALL: &str = "call: {url: 'http://a.test/'}";
    for (alerts, expected) in [
        (" {name: a}", "rowhook.yaml:1:9: `alerts` is a list, not a map; an alert begins with `- name:`"),
        ("\n  - {name: a}", "2:5: the alert has no `call`"),
        (&*format!("\n  - {{{CALL}}}"), "2:5: the alert has no `name`"),
        (&format!("\n  - {{name: a, {CALL}, on: insert}}"), "unknown key `on` in an alert"),
        (&format!("\n  - {{name: a, {CALL}, every: 1s}}"), "`every` must be between 10s and"),
        (&format!("\n  - {{name: a, {CALL}, repeat: soon}}"), "2:54: `repeat` is a duration"),
        (&format!("\n  - {{name: a, {CALL}, conditions: [lat]}}"), "not `lat`; did you mean `late`?"),
        (&format!("\n  - {{name: a, {CALL}, conditions: {{lat: 5m}}}}"), "unknown key `lat` in `conditions`"),
        (&format!("\n  - {{name: a, {CALL}, conditions: {{late: 5}}}}"), "`conditions.late`"),
        (&format!("\n  - {{name: a, {CALL}, conditions: {{}}}}"), "`conditions` names none"),
        (&format!("\n  - {{name: a, {CALL}, conditions: {{disk: 5}}}}"), "write `disk: true`"),
        (&format!("\n  - {{name: a, {CALL}, conditions: {{dead_letters: 0}}}}"), "must be a whole number from 1"),
        (&format!("\n  - {{name: a, {CALL}}}\n  - {{name: a, {CALL}}}"), "3:5: there are two alerts `a`"),
        (
            "\n  - {name: a, call: {url: 'http://a.test/', text: '{{ row.titel }}'}}",
            "2:55: an alert has no `titel`; did you mean `title`?",
        ),
        ("\n  - {name: a, call: {url: '{{ env.NO }}', allow_hosts: ['a.test']}}", "NO"),
    ] {
        let error = load(&format!("alerts:{alerts}\n")).expect_err(alerts);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

#[test]
fn the_alerts_of_the_documentation_load_and_make_requests() {
    let page = include_str!("../../../docs/alerts.md");
    let env = |name: &str| {
        let value = if name == "SLACK_WEBHOOK_URL" { "https://hooks.slack.com/services/T0/B0/x" } else { "a-secret" };
        Some(value.to_owned())
    };
    let mut names = Vec::new();
    for block in page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)) {
        let alerts = AlertRule::load(Path::new("rowhook.yaml"), block, &env);
        for alert in alerts.unwrap_or_else(|problems| panic!("{problems}")) {
            for state in [AlertState::Firing, AlertState::Resolved] {
                let sent = body(&alert, state);
                // A body with a secret is masked as a whole.
                assert!(sent.contains("this is a test of rowhook") || sent.ends_with("--data-raw '***'"), "{sent}");
            }
            names.push(alert.rule.name.clone());
        }
    }
    assert_eq!(names, ["ops", "slack", "pagerduty", "alertmanager", "mail"]);
    let columns = ALERTS_TABLE.columns.iter().filter(|column| !page.contains(&format!("`row.{column}`")));
    assert_eq!(columns.collect::<Vec<_>>(), Vec::<&Box<str>>::new(), "columns that the page lacks");
    let conditions = ConditionKind::ALL.iter().filter(|kind| !page.contains(&format!("\n| `{kind}` |")));
    assert_eq!(conditions.collect::<Vec<_>>(), Vec::<&ConditionKind>::new(), "conditions that the page lacks");
}

#[test]
fn no_line_of_another_setting_and_none_with_a_login_is_shown() {
    for text in [
        "alerts:\n  - {name: a, call: {url: 'http://user:secret@a.test/'}}\n",
        "mysql: &m mysql://user:secret@db\nalerts:\n  - {name: a}\n",
        "mysql_password_command: !x 'echo secret'\nalerts:\n  - {name: a}\n",
        "{mysql: 'mysql://user:secret', alerts: [{name: a}]}\n",
        "alerts:\n  - {name: a}\nmysql_password_command: !x 'echo secret'\n",
    ] {
        let error = load(text).expect_err("a problem");
        assert!(!error.contains("secret"), "{error}");
    }
    let error =
        load("window: 5\nalerts:\n- name: a\n  colour: red\n  call: {url: 'http://a.test/'}\n").expect_err("a key");
    assert!(error.contains("|   colour: red"), "{error}");
}

#[test]
fn a_get_has_no_body() {
    let alert = one("{name: a, call: {method: GET, url: 'http://a.test/{{ row.state }}'}}");
    let sent = body(&alert, AlertState::Firing);
    assert!(sent.contains("http://a.test/firing") && !sent.contains("--data"), "{sent}");
}
