//! Hostile row values: whatever a row holds, the request keeps the structure that the rule gives it.
//!
//! Each value goes into path, query, header and JSON body of requests that a scripted API receives. What came is read
//! again: the same method, path segments, query keys, header names and JSON members, and the value as it was.

use serde_json::{Value, json};

use super::super::client::{self, Client, Keep};
use super::{delivery, prepare};
use crate::delivery::testing::{Api, DEADLINE, Reply, SeenRequest};
use crate::failure::Answer;

/// Pieces of attacks; each also comes at the beginning, at the end and in the middle of a harmless text.
const PIECES: &[&str] = &[
    // Control characters and ends of lines.
    "\0",
    "\u{1}",
    "\u{8}",
    "\t",
    "\n",
    "\u{b}",
    "\u{c}",
    "\r",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "\u{9b}31m",
    "\r\nX-Evil: 1",
    "\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "\r\nContent-Length: 0\r\n\r\n",
    "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "%0d%0aX-Evil: 1",
    "%0D%0A",
    "\u{560d}\u{560a}",
    "\\r\\n",
    // URLs.
    "/",
    "//",
    "/../",
    "../",
    "..",
    ".",
    "./",
    "..;/",
    "%2e%2e",
    "%2e%2e%2f",
    "..%2f",
    "..%5c",
    "%252e%252e%252f",
    "..\\",
    "\\",
    "%c0%ae%c0%ae%c0%af",
    "\u{2215}",
    "\u{2024}\u{2024}\u{2215}",
    "/etc/passwd",
    "?",
    "?x=1",
    "&",
    "&x=2",
    "=",
    "#",
    "#fragment",
    ";",
    ";x=1",
    ":",
    "@",
    "@evil.test/",
    "+",
    "%",
    "%00",
    "%zz",
    "%25",
    "%u002e",
    "http://evil.test/",
    "//evil.test/",
    "[]",
    "x[]=1",
    "|",
    "^",
    "`",
    "~",
    "<",
    ">",
    " ",
    "  ",
    ",",
    // JSON, YAML, shells, SQL, templates.
    "\"",
    "'",
    "\\\"",
    "\"}",
    "\",\"evil\":\"1",
    "\"],\"evil\":[\"",
    "}",
    "{",
    "]",
    "null",
    "true",
    "1e999",
    "-0",
    "NaN",
    "{\"$ne\":null}",
    "__proto__",
    "*alias",
    "&anchor",
    "!!python/object/apply:os.system ['id']",
    "<<: *x",
    "- a",
    "a: b",
    "# comment",
    "|\n  block",
    "---\nx: 1",
    "$(id)",
    "`id`",
    ";id",
    "|id",
    "&& id",
    "${IFS}",
    "' OR '1'='1",
    "'; DROP TABLE t; --",
    "{{",
    "}}",
    "{{ env.TOKEN }}",
    "{{ row.id }}",
    "{% for i in range(9) %}x{% endfor %}",
    "{# no #}",
    "${env.TOKEN}",
    "{{ 7 * 7 }}",
    "<script>alert(1)</script>",
    "<!--",
    "]]>",
    "<?xml version=\"1.0\"?>",
    "%s%n",
    "{0}",
    // Characters.
    "\u{a0}",
    "\u{ad}",
    "\u{200b}",
    "\u{200d}",
    "\u{202e}txt.exe",
    "\u{2066}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{d7ff}\u{e000}",
    "\\ud800",
    "\\u0000",
    "\u{1f468}\u{200d}\u{1f469}",
    "e\u{301}",
    "\u{130}",
    "\u{df}",
    "\u{ff0f}",
    "\u{ff0e}\u{ff0e}",
    "\u{ff1f}",
    "\u{ff03}",
    "\u{430}",
    "\u{fdfa}",
];

fn values() -> Vec<String> {
    let wrapped = PIECES
        .iter()
        .flat_map(|piece| [piece.to_string(), format!("{piece}a"), format!("a{piece}"), format!("a{piece}b")]);
    let long = [1_000, 20_000, 100_000].map(|length| "\u{e4}\"".repeat(length / 3));
    wrapped.chain(long).chain([String::new(), "\r\n".repeat(300)]).collect()
}

/// The target as path segments and query pairs, all decoded.
fn target(seen: &SeenRequest) -> (Vec<String>, Vec<(String, String)>) {
    let target = seen.head.split(' ').nth(1).unwrap();
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (decoded(name), decoded(value)));
    (path.split('/').skip(1).map(decoded).collect(), pairs.collect())
}

/// The request line without its target, and the headers' names and values in their order.
fn head(seen: &SeenRequest) -> (String, Vec<(String, String)>) {
    let mut lines = seen.head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
    assert_eq!(first.len(), 3, "{first:?}");
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
    (format!("{} {}", first[0], first[2]), headers.collect())
}

struct Sender {
    api: Api,
    client: Client,
}

impl Sender {
    async fn new() -> Sender {
        Sender { api: Api::start(|_| Reply::Status(204)).await, client: Client::new().unwrap() }
    }

    /// What the API received of a row with this value; none when no request could be made of it.
    async fn send(&self, call: &str, value: &str) -> Option<SeenRequest> {
        let delivery = delivery(call, value).unwrap();
        let before = self.api.seen().len();
        let request = match prepare(&delivery) {
            Ok(prepared) => client::request(&prepared, delivery.call().settings.egress).unwrap(),
            Err(message) => {
                let harmless = ["", ".", "a", "=", ":", ",", ";", "'", "`", " ", "-", "|", "/", "env", "{", "}"];
                let shows_value = value.len() > 2 && !harmless.contains(&value) && message.contains(value);
                assert!(!shows_value, "{value:?} in {message}");
                return None;
            }
        };
        let call = delivery.call();
        let received =
            self.client.send(request, call.settings.egress, DEADLINE, &call.settings.success, Keep::NOTHING).await;
        assert_eq!(received.answer, Answer::Status { status: 204, excerpt: String::new() }, "{value:?}");
        let seen = self.api.seen();
        assert_eq!(seen.len(), before + 1, "{value:?} made more than one request");
        seen.last().cloned()
    }
}

#[tokio::test]
async fn a_value_in_path_query_and_body_changes_nothing_but_itself() {
    let sender = Sender::new().await;
    let call = format!(
        "{{method: PUT, url: '{}a/{{{{ row.value }}}}/b?x={{{{ row.value }}}}&y=1', headers: {{X-Own: own}}, \
         body: {{value: '{{{{ row.value }}}}', text: 'a{{{{ row.value }}}}b', \
         nested: ['{{{{ row.value }}}}', {{deep: '{{{{ row.value ~ row.id }}}}'}}], last: 1}}}}",
        sender.api.url()
    );
    let values = values();
    assert!(values.len() >= 200);
    let plain = sender.send(&call, "plain").await.unwrap();
    let (line, headers) = head(&plain);
    let names = |headers: &[(String, String)]| headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let mut unsent = Vec::new();
    for value in &values {
        let Some(seen) = sender.send(&call, value).await else {
            unsent.push(value.as_str());
            continue;
        };
        let (segments, query) = target(&seen);
        assert_eq!(segments, ["a", value, "b"]);
        assert_eq!(query, [("x".to_owned(), value.clone()), ("y".to_owned(), "1".to_owned())]);
        let (own_line, own_headers) = head(&seen);
        assert_eq!((own_line, names(&own_headers)), (line.clone(), names(&headers)), "{value:?}");
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let expected = json!({
            "value": value, "text": format!("a{value}b"), "nested": [value, {"deep": format!("{value}7")}], "last": 1,
        });
        assert_eq!(body, expected);
    }
    let too_long = values.iter().filter(|value| value.len() > 10_000).count();
    assert_eq!(unsent.len(), 3 + too_long, "{:?}", unsent.iter().filter(|value| value.len() < 99).collect::<Vec<_>>());
    assert!(["", ".", ".."].iter().all(|value| unsent.contains(value)), "these would name another resource");
}

#[tokio::test]
async fn a_value_in_a_header_is_sent_as_it_is_or_no_request_is_made() {
    let sender = Sender::new().await;
    let call =
        format!("{{url: '{}', headers: {{X-Value: '{{{{ row.value }}}}', X-Own: own}}, body: 1}}", sender.api.url());
    let names = |seen: &SeenRequest| head(seen).1.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let plain = names(&sender.send(&call, "plain").await.unwrap());
    let mut unsent = 0;
    for value in values() {
        let Some(seen) = sender.send(&call, &value).await else {
            assert!(value.chars().any(char::is_control), "{value:?}");
            unsent += 1;
            continue;
        };
        assert!(!value.chars().any(char::is_control), "{value:?}");
        assert_eq!(names(&seen), plain, "{value:?}");
        let headers = head(&seen).1;
        let found = &headers.iter().find(|(name, _)| name == "x-value").unwrap().1;
        // Blanks around a value are no part of it (RFC 9110, section 5.5).
        assert_eq!(found.trim_matches(' '), value.trim_matches(' '));
    }
    assert!(unsent > 50, "{unsent}");
}

/// The default body: the change event holds the value as it is, once.
#[tokio::test]
async fn a_value_in_the_change_event_is_that_column_and_nothing_else() {
    let sender = Sender::new().await;
    let call = format!("{{url: '{}'}}", sender.api.url());
    let plain: Value = serde_json::from_slice(&sender.send(&call, "plain").await.unwrap().body).unwrap();
    for value in values() {
        let seen = sender.send(&call, &value).await.unwrap();
        let mut expected = plain.clone();
        expected["after"]["value"] = json!(value);
        assert_eq!(serde_json::from_slice::<Value>(&seen.body).unwrap(), expected);
    }
}
