//! Every key and every word of the schemas against what the loader says that it knows.
//!
//! Files that have every key are walked beside their schema. In each map an unknown key is put, in place of each word an unknown
//! one: the loader then names the keys and words that it knows, and they must be those of the schema.

use std::collections::BTreeSet;

use super::super::*;
use super::{JSON_SCHEMAS, read};
use serde_json::Value as Json;

/// Files that have all keys of the schemas between them.
const EXAMPLES: [&str; 8] = [
    r#"
table: shop.*
rules:
  - name: one-call
    description: every plain key
    enabled: true
    on: update
    changed: [status]
    when: row.status == 'paid'
    order_by: table
    in_flight: 8
    rate: 50/s
    fuse: 60/m
    own_writes: true
    start: latest
    pin_binlog: false
    on_dead_letter: continue
    dead_letters: {keep: 30d, max: 10000, max_bytes: 1 GiB}
    redact: email
    retry: {retries: forever, initial: 1s, multiplier: 1.5, max_delay: 1m 30s, jitter: 0}
    retry_on: {status: [429, 5xx, network], when: answer.json.again, wait: answer.json.wait}
    call:
      method: PUT
      url: https://{{ row.shop }}.example.com/
      allow_hosts: "*.example.com"
      egress: public_only
      headers: {Accept: text/plain}
      form: {a: [1]}
      form_lists: brackets
      compress: gzip
      timeout: 5s
      success: {status: [2xx, 409], when: answer.json.ok}
      idempotent: true
      insecure_tls: true
  - name: list
    dead_letters: none
    on: [insert, truncate]
    order_by: [id]
    call: {url: http://a.test/, format: row, auth: {bearer: {env: TOKEN}}, sign: {webhook: [{env: NEW}]}}
  - name: copy
    calls: {insert: {url: http://a.test/}, update: {url: http://a.test/}, delete: {url: http://a.test/}}
  - name: basic
    call: {url: http://a.test/, body: {a: [1]}, auth: {basic: {user: u, password: {file: gone.pem}}}}
  - name: oauth2
    call:
      url: http://a.test/
      text: a
      auth: {oauth2: {token_url: 'https://id.test/', client_id: a, client_secret: b, scope: c, audience: d, resource: e, params: {f: g}, style: body}}
"#,
    r#"
table: shop.orders
rules:
  - name: batched
    batch: {size: 5, bytes: 1 MiB, wait: 1s, format: ndjson, line: {a: 1}, results: {items: /a, status: /b}}
    coalesce: {within: 5s}
    call: {url: http://a.test/}
  - name: errors
    per: transaction
    batch: {wrap: {a: []}, results: {items: /a, error: /b, status: /c, retry: [d]}}
    call: {url: http://a.test/}
"#,
    r#"
table: shop.orders
rules:
  - name: steps
    steps:
      - name: one
        call: {url: http://a.test/}
        undo: {call: {url: http://a.test/}, retry: {retries: 1}, retry_on: 429}
        idempotent: false
        verify: {call: {url: http://a.test/}, when: answer.status == 200}
        retry: {retries: 1}
        retry_on: timeout
      - name: two
        sql:
          statement: UPDATE a SET b = :b
          params: {b: 1}
          expect_rows: 0..1
          timeout: 5s
          idempotent: false
          verify: {call: {url: http://a.test/}, when: answer.status == 200}
    on_success: {sql: {statement: DELETE FROM a}}
    on_failure: {call: {url: http://a.test/}}
"#,
    r#"
table: shop.orders
rules:
  - name: verified
    call: {url: http://a.test/, idempotent: false, verify: {call: {url: http://a.test/}, when: answer.status == 200}}
"#,
    r#"
table: shop.orders
rules:
  - name: tls
    call: {url: https://a.test/, tls: {ca: ca.pem, cert: one.pem, key: one.key}}
"#,
    r#"
tables: [shop.orders, shop.returns]
vars: {api: http://a.test}
rules:
  - name: parts
    call:
      url: "{{ vars.api }}/"
      multipart: {a: 1, b: {value: a, filename: b, type: text/csv}, c: [{json: {a: 1}}]}
      auth: {query: {name: key, value: {env: TOKEN}}}
      sign: {hmac: {secret: [a, {env: NEW}], separator: " ", secret_encoding: text, algorithm: sha256, text: "{{ body }}", encoding: hex, headers: {X-A: "{{ signature }}"}}}
  - name: aws
    call: {url: http://a.test/, auth: {aws: {service: lambda, region: eu-central-1, access_key: a, secret_key: b, session_token: c}}}
"#,
    r#"
defaults:
  retry: {retries: 1, initial: 1s, multiplier: 1.5, max_delay: 1m 30s, jitter: 0}
  retry_on: [429]
  on_dead_letter: pause
  dead_letters: {keep: 30d, max: 10000, max_bytes: 1 GiB}
  in_flight: 5
  rate: 5/s
  fuse: 5/m
  pin_binlog: false
  call: {timeout: 5s, egress: public_only, compress: gzip, success: [2xx]}
"#,
    r#"
targets:
  https://a.test: {rate: 5/s, in_flight: 5, breaker: {failures: 5, probe: 1s, max_probe: 30s}}
  https://b.test: {breaker: off, proxy: none}
  https://c.test: {proxy: {env: PROXY}}
  https://d.test: {proxy: {file: gone.pem}}
"#,
];

const UNKNOWN: &str = "zzz-unknown";

/// What the loader says of a file, with the rules that a file of targets needs beside it. PEM files are not there.
fn said(text: &str) -> Vec<String> {
    let env = |name: &str| match name {
        "NEW" => Some("whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3".to_owned()),
        "PROXY" => Some("http://proxy.test:3128".to_owned()),
        _ => Some("s3cret".to_owned()),
    };
    let files = [("f.yaml", text), ("rules.yaml", &rule("on: insert"))]
        .map(|(name, text)| (PathBuf::from(name), text.to_owned()));
    let problems = RuleSet::from_texts(&files, &env).err().map_or(Vec::new(), |Diagnostics(problems)| problems);
    problems
        .into_iter()
        .map(|problem| problem.message)
        .filter(|message| !message.contains(".pem can't be read"))
        .collect()
}

/// Walks a file beside its schema and notes what differs from what the loader knows.
struct Walk<'s> {
    schema: &'s Json,
    file: &'s Json,
    /// Pointers of properties that the file has.
    seen: &'s mut BTreeSet<String>,
    found: &'s mut Vec<String>,
}

impl Walk<'_> {
    /// `at` points to the part of the schema that is for the value at `place` of the file.
    fn value(&mut self, at: &str, place: &str) {
        let value = self.file.pointer(place).expect("a value of the file");
        for at in alternatives(self.schema, at) {
            let schema = self.schema.pointer(&at).expect("a part of the schema");
            match value {
                Json::Object(members) => {
                    if schema["additionalProperties"] == false {
                        self.keys(&at, place);
                    }
                    for name in members.keys() {
                        let own = format!("{at}/properties/{}", escaped(name));
                        let place = format!("{place}/{}", escaped(name));
                        if self.schema.pointer(&own).is_some_and(|property| *property != false) {
                            self.seen.insert(own.clone());
                            self.value(&own, &place);
                        } else if schema["additionalProperties"].is_object() {
                            self.value(&format!("{at}/additionalProperties"), &place);
                        }
                    }
                }
                Json::Array(items) if schema["items"].is_object() => {
                    for n in 0..items.len() {
                        self.value(&format!("{at}/items"), &format!("{place}/{n}"));
                    }
                }
                value if schema["enum"].as_array().is_some_and(|words| words.contains(value)) => self.words(&at, place),
                _ => {}
            }
        }
    }

    /// Puts an unknown key into a map, and compares the keys that the loader names with those of the schema.
    fn keys(&mut self, at: &str, place: &str) {
        let mut file = self.file.clone();
        let map = file.pointer_mut(place).and_then(Json::as_object_mut).expect("a map");
        map.insert(UNKNOWN.to_owned(), Json::from(1));
        let messages = said(&file.to_string());
        let known = messages
            .iter()
            .find(|message| message.contains(UNKNOWN))
            .and_then(|message| message.split_once("known are "));
        let Some((_, known)) = known else {
            self.found.push(format!("{place}: the loader does not name its keys: {messages:?}"));
            return;
        };
        let own = self.schema.pointer(at).and_then(|schema| schema["properties"].as_object()).expect("properties");
        self.compare(at, "key", own.keys().map(String::as_str).collect(), known.split(", ").collect());
    }

    /// Puts an unknown word in the place of a known one, and compares the words that the loader names with those of the schema.
    fn words(&mut self, at: &str, place: &str) {
        let mut file = self.file.clone();
        *file.pointer_mut(place).expect("a value") = Json::from(UNKNOWN);
        let messages = said(&file.to_string());
        let Some(message) = messages.iter().find(|message| message.contains(UNKNOWN)) else {
            self.found.push(format!("{place}: the loader does not name the unknown word: {messages:?}"));
            return;
        };
        let listed = message.split_once(" is ").and_then(|(_, rest)| rest.split_once(", not "));
        let listed = listed.map(|(words, _)| words).or(message.split_once("known are ").map(|(_, words)| words));
        let Some(listed) = listed else {
            self.found.push(format!("{place}: the loader does not name the words that it knows: {message}"));
            return;
        };
        let words = listed.trim_start_matches("one of ").split(", ").flat_map(|part| part.split(" or "));
        let known = words.map(|word| word.trim_matches('`')).filter(|word| !word.contains(' '));
        let own = self.schema.pointer(at).and_then(|schema| schema["enum"].as_array()).expect("words");
        self.compare(at, "word", own.iter().filter_map(Json::as_str).collect(), known.collect());
    }

    fn compare(&mut self, at: &str, what: &str, own: BTreeSet<&str>, known: BTreeSet<&str>) {
        let lacking = known.difference(&own).map(|name| format!("the schema lacks the {what} `{name}` in {at}"));
        let extra = own.difference(&known).map(|name| format!("the loader does not know the {what} `{name}` of {at}"));
        self.found.extend(lacking.chain(extra));
    }
}

/// The parts of the schema that a part of it stands for: itself, what it refers to, and its alternatives.
fn alternatives(schema: &Json, at: &str) -> Vec<String> {
    let own = schema.pointer(at).expect("a part of the schema");
    let referred = own["$ref"].as_str().map(|target| target.trim_start_matches('#').to_owned());
    let choices = own["anyOf"].as_array().map_or(0, Vec::len);
    let others = referred.into_iter().chain((0..choices).map(|n| format!("{at}/anyOf/{n}")));
    let others: Vec<String> = others.flat_map(|at| alternatives(schema, &at)).collect();
    [at.to_owned()].into_iter().chain(others).collect()
}

/// A name in a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointers of all properties of maps with a fixed set of keys.
fn properties(schema: &Json, at: &str, found: &mut Vec<String>) {
    match schema {
        Json::Object(members) => {
            for (name, member) in members {
                let at = format!("{at}/{}", escaped(name));
                if let (true, "properties", Some(names)) =
                    (schema["additionalProperties"] == false, name.as_str(), member.as_object())
                {
                    found.extend(names.keys().map(|name| format!("{at}/{}", escaped(name))));
                }
                properties(member, &at, found);
            }
        }
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| properties(item, &format!("{at}/{n}"), found))
        }
        _ => {}
    }
}

#[test]
fn the_schemas_have_the_keys_and_words_that_the_loader_knows() {
    let (mut seen, mut found, mut all) = ([BTreeSet::new(), BTreeSet::new()], Vec::new(), [Vec::new(), Vec::new()]);
    let schemas =
        [RULES_JSON_SCHEMA, TARGETS_JSON_SCHEMA].map(|text| serde_json::from_str::<Json>(text).expect("JSON"));
    for text in EXAMPLES {
        assert_eq!(said(text), Vec::<String>::new(), "{text}");
        let file = read(text).expect("YAML");
        assert_eq!(JSON_SCHEMAS.with(|schemas| schemas.refusal(&file)), None, "{text}");
        let n = usize::from(file.get("rules").is_none());
        Walk { schema: &schemas[n], file: &file, seen: &mut seen[n], found: &mut found }.value("", "");
    }
    for n in 0..2 {
        properties(&schemas[n], "", &mut all[n]);
        assert!(!all[n].is_empty());
        let unseen = all[n].iter().filter(|property| !seen[n].contains(*property));
        found.extend(unseen.map(|property| format!("no file of EXAMPLES has {property}")));
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} differences between schemas and loader:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_key_of_the_schemas_is_described_in_a_line_with_its_default() {
    for text in [RULES_JSON_SCHEMA, TARGETS_JSON_SCHEMA] {
        let schema: Json = serde_json::from_str(text).expect("JSON");
        let mut all = Vec::new();
        properties(&schema, "", &mut all);
        for at in all {
            let property = schema.pointer(&at).expect("a property");
            let description = property["description"].as_str().unwrap_or_else(|| panic!("{at} has no description"));
            assert!((10..=230).contains(&description.len()) && description.ends_with('.'), "{at}: {description}");
            let default = &property["default"];
            let default = default.as_str().map_or_else(|| default.to_string().replace(['"', ' '], ""), str::to_owned);
            let told = description.replace(", ", ",");
            assert!(
                property["default"].is_null() || told.contains(&format!("Default: {default}")),
                "{at}: {description}"
            );
        }
    }
}
