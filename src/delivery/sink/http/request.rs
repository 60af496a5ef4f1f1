//! Renders a delivery into the request it stands for: the envelope around its item.
//!
//! In: a `Delivery`. Out: method, URL, headers and body as plain data, for the client and for dry runs; or why it can't
//! be made from the row, without row values. Puts the delivery id into `Idempotency-Key` (promise 3). What each attempt
//! adds (a token, a signature) is named here and made by `auth`. Sends nothing.

use std::borrow::Cow;

use bytes::Bytes;

use super::auth;
use super::item::{self, ItemPlace};
use super::prepared::{Header, PreparedRequest, USER_AGENT};
use crate::change::DeliveryId;
use crate::delivery::Delivery;
use crate::rules::{Auth, Body, Call, Signing, is_json_document};
use crate::template::{Error, Scope, TEXT_BYTES_MAX};

mod array;

pub(super) use array::prepare_all;

/// Renders the request of a delivery whose action is this call. An error is for people and holds no row values; it is
/// final, for the row will not change.
pub(super) fn prepare(delivery: &Delivery, call: &Call) -> Result<PreparedRequest, String> {
    if delivery.edited.is_some() {
        delivery.rule.takes_edited_body(delivery.change.op)?;
    }
    if delivery.rule.batch.is_some() {
        return array::prepare_one(delivery, call);
    }
    let scope = delivery.scope();
    let body = || match &delivery.edited {
        Some(edited) => Ok(edited.body.clone()),
        None => render_body(delivery, &call.body, &scope),
    };
    let mut request = envelope(call, delivery.call_id(), ItemPlace::Alone, &scope, body)?;
    if let Some(edited) = &delivery.edited {
        require_json(&request, &edited.body)?;
    }
    let of_item = item::headers(delivery, &call.body);
    request.headers.extend(of_item.map(|(name, value)| Header {
        name: name.into(),
        value: value.into(),
        is_secret: false,
    }));
    Ok(request)
}

/// Also where the rule began to send JSON after the body was edited.
fn require_json(request: &PreparedRequest, body: &[u8]) -> Result<(), String> {
    if !request.header("Content-Type").is_some_and(is_json_document) {
        return Ok(());
    }
    let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    parsed.map(drop).map_err(|error| format!("the rule sends JSON, and the body is none: {error}"))
}

/// The request around a body; without the headers that belong to an item. `id` identifies the call to its receiver.
fn envelope(
    call: &Call,
    id: DeliveryId,
    place: ItemPlace,
    scope: &Scope,
    body: impl FnOnce() -> Result<Bytes, String>,
) -> Result<PreparedRequest, String> {
    let url = call.url.render(scope).map_err(|error| format!("`url`: {error}"))?;
    let body = body()?;
    Ok(PreparedRequest {
        method: call.settings.method,
        url,
        headers: render_headers(call, id, place, scope, &body)?,
        body,
        compression: call.settings.compression,
        per_attempt: auth::headers_per_attempt(call),
        query_key: match &call.auth {
            Some(Auth::Query(key)) => Some(key.clone()),
            _ => None,
        },
        hides_url: call.url.uses_env(),
        hides_body: call.hides_body,
    })
}

/// Room for a usual event: growing a buffer for every delivery would cost more than the space.
const USUAL_BYTES: usize = 1024;

fn render_body(delivery: &Delivery, body: &Body, scope: &Scope) -> Result<Bytes, String> {
    if let Body::Empty = body {
        return Ok(Bytes::new());
    }
    let mut out = Vec::with_capacity(USUAL_BYTES);
    write_body(delivery, body, scope, ItemPlace::Alone, &mut out)?;
    Ok(out.into())
}

/// Appends what this delivery says. After an error the end of `out` is unfinished.
fn write_body(
    delivery: &Delivery,
    body: &Body,
    scope: &Scope,
    place: ItemPlace,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    write_item_body(delivery, body, scope, place, out).map_err(|error| in_words(body, &error))
}

fn write_item_body(
    delivery: &Delivery,
    body: &Body,
    scope: &Scope,
    place: ItemPlace,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let begin = out.len();
    item::write(delivery, body, scope, place, out)?;
    match out.len() - begin {
        0..=TEXT_BYTES_MAX => Ok(()),
        _ => Err(Error::TooLarge { limit_bytes: TEXT_BYTES_MAX }),
    }
}

fn in_words(body: &Body, error: &Error) -> String {
    format!("`{}`: {error}", body.key())
}

/// `id` identifies the call to its receiver: that of the delivery, or of all that it carries. Without the headers that
/// belong to an item.
fn render_headers(
    call: &Call,
    id: DeliveryId,
    place: ItemPlace,
    scope: &Scope,
    body: &[u8],
) -> Result<Vec<Header>, String> {
    let mut headers = Vec::with_capacity(call.headers.len() + 5);
    headers.push(own("Idempotency-Key", id.to_string()));
    if !sets(call, "User-Agent") {
        headers.push(own("User-Agent", USER_AGENT));
    }
    if !matches!(call.body, Body::Empty) && !sets(call, "Content-Type") {
        headers.push(own("Content-Type", item::content_type(&call.body, place, body)));
    }
    if let Some(Signing::Webhook(_)) = &call.sign {
        headers.push(own(auth::SIGNED_ID, id.to_string()));
    }
    if let Some(Auth::Fixed(value)) = &call.auth {
        let value = value.reveal().to_owned();
        headers.push(Header { name: "Authorization".into(), value: value.into(), is_secret: true });
    }
    for (name, template) in &call.headers {
        let value = match template.render(scope) {
            Err(Error::Omitted) => continue,
            rendered => rendered.map_err(|error| format!("header `{name}`: {error}"))?,
        };
        // C1 controls are two bytes in UTF-8 and harmless on the wire, but no value of a header either.
        if value.chars().any(char::is_control) {
            return Err(Error::HeaderBytes { header: name.clone() }.to_string());
        }
        let is_secret = template.uses_env() || is_secret_by_name(name);
        headers.push(Header { name: name.clone().into(), value: value.into(), is_secret });
    }
    Ok(headers)
}

fn own(name: &'static str, value: impl Into<Cow<'static, str>>) -> Header {
    Header { name: name.into(), value: value.into(), is_secret: false }
}

fn sets(call: &Call, name: &str) -> bool {
    call.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
}

/// Headers that carry credentials even where they are written into the rule itself.
fn is_secret_by_name(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie", "x-api-key"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};
    use crate::delivery::EditedBody;
    use crate::delivery::sink::http::tests::prepare;
    use crate::rules::{Method, RuleSet};

    fn delivery(call: &str, status: &str) -> Delivery {
        let text = format!("table: shop.orders\nrules:\n  - name: r\n    call: {call}\n");
        let env = |name: &str| (name == "TOKEN").then(|| "s3cret".to_string());
        let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &env).expect("the rule loads");
        let cells = [Cell::Value(Value::Uint(7)), Cell::Value(Value::Text(status.into()))];
        let change = Arc::new(Change {
            op: Op::Insert,
            table: Arc::new(Table {
                schema: "shop".into(),
                name: "orders".into(),
                columns: vec!["id".into(), "status".into()],
                primary_key: vec![0],
            }),
            before: None,
            after: Some(Row::from_iter(cells)),
            transaction: Arc::new(Transaction::example()),
            ordinal: 1,
        });
        Delivery::of(&rules.rules()[0], &change)
    }

    #[test]
    fn the_default_request_posts_the_change_with_its_idempotency_key() {
        let delivery = delivery("{url: 'http://127.0.0.1:8088/o/{{ row.id }}'}", "paid");
        let prepared = prepare(&delivery).expect("renders");
        assert_eq!((prepared.method, prepared.url.as_str()), (Method::Post, "http://127.0.0.1:8088/o/7"));
        assert_eq!(prepared.header("idempotency-key"), Some(&*delivery.id.to_string()));
        assert_eq!(prepared.header("user-agent"), Some(USER_AGENT));
        assert_eq!(prepared.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&prepared.body).expect("JSON");
        assert_eq!((&body["rule"], &body["after"]["status"]), (&"r".into(), &"paid".into()));
    }

    #[test]
    fn a_template_body_keeps_types_and_names_in_order() {
        let call =
            "{url: 'http://a.test/', body: {z: '{{ row.id }}', a: ['{{ row.status }}', 1.50, null, 'x {{ row.id }}']}}";
        let prepared = prepare(&delivery(call, "p\"\n")).expect("renders");
        assert_eq!(prepared.body, r#"{"z":7,"a":["p\"\n",1.50,null,"x 7"]}"#);
    }

    #[test]
    fn forms_and_texts_are_sent_as_such() {
        for (call, content_type, body) in [
            (
                "{url: 'http://a.test/', form: {id: '{{ row.id }}', items: [{name: '{{ row.status }}', qty: 2}], on: true, gone: '{{ omit }}'}}",
                "application/x-www-form-urlencoded",
                "id=7&items%5B0%5D%5Bname%5D=a%26b&items%5B0%5D%5Bqty%5D=2&on=true",
            ),
            (
                "{url: 'http://a.test/', form: {to: ['{{ row.status }}', x]}, form_lists: repeat}",
                "application/x-www-form-urlencoded",
                "to=a%26b&to=x",
            ),
            (
                "{url: 'http://a.test/', form: {to: [{a: 1}, x]}, form_lists: brackets}",
                "application/x-www-form-urlencoded",
                "to%5B%5D%5Ba%5D=1&to%5B%5D=x",
            ),
            (
                "{url: 'http://a.test/', text: 'order {{ row.id }}: {{ row.status }}'}",
                "text/plain; charset=utf-8",
                "order 7: a&b",
            ),
            (
                "{url: 'http://a.test/', headers: {Content-Type: text/csv}, text: '{{ row.id }},{{ row.status }}'}",
                "text/csv",
                "7,a&b",
            ),
            (
                "{url: 'http://a.test/', headers: {Content-Type: text/xml}, text: '<o id=\"{{ row.id }}\">{{ row.status }}</o>'}",
                "text/xml",
                "<o id=\"7\">a&amp;b</o>",
            ),
        ] {
            let prepared = prepare(&delivery(call, "a&b")).expect(call);
            assert_eq!(prepared.header("Content-Type"), Some(content_type), "{call}");
            assert_eq!(prepared.body, body, "{call}");
        }
        let call = "{url: 'http://a.test/', form: {key: '{{ env.TOKEN }}'}}";
        let prepared = prepare(&delivery(call, "x")).expect("renders");
        assert!(!prepared.shown().to_curl().contains("s3cret"), "{}", prepared.shown().to_curl());
        let call = "{url: 'http://a.test/', headers: {Content-Type: text/xml}, text: '{{ row.status }}'}";
        let message = prepare(&delivery(call, "\0")).expect_err("no XML holds it");
        assert_eq!(message, "`text`: the value has a character that XML can't hold");
    }

    #[test]
    fn parts_are_sent_with_a_boundary_that_none_of_them_holds() {
        let call = "{url: 'http://a.test/', multipart: {id: '{{ row.id }}', n: 5, gone: '{{ omit }}', data: {json: {s: '{{ row.status }}'}}, \
                    file: [{filename: '{{ row.status }}.csv', type: text/csv, value: 'a,{{ row.id }}'}, x]}}";
        let delivery = delivery(call, "a\"\r\nb");
        let prepared = prepare(&delivery).expect("renders");
        let boundary = format!("rowhook-{}", delivery.id);
        let expected = "--B\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n7\r\n\
                        --B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n5\r\n\
                        --B\r\nContent-Disposition: form-data; name=\"data\"\r\nContent-Type: application/json\r\n\r\n\
                        {\"s\":\"a\\\"\\r\\nb\"}\r\n\
                        --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22%0D%0Ab.csv\"\r\n\
                        Content-Type: text/csv\r\n\r\na,7\r\n\
                        --B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--B--\r\n";
        assert_eq!(String::from_utf8_lossy(&prepared.body), expected.replace("--B", &format!("--{boundary}")));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        assert_eq!(prepared.header("Content-Type"), Some(&*content_type));
        assert_eq!(prepare(&delivery).expect("renders").body, prepared.body, "attempts are equal");

        let call = "{url: 'http://a.test/', multipart: {a: '{{ row.status }}', b: '{{ omit }}'}}";
        let foreseen = self::delivery(call, &format!("x\r\n--rowhook-{0}\r\nrowhook-{0}-2", delivery.id));
        let prepared = prepare(&foreseen).expect("renders");
        let content_type = format!("multipart/form-data; boundary=rowhook-{}-3", foreseen.id);
        assert_eq!(prepared.header("Content-Type"), Some(&*content_type));

        let none = self::delivery("{url: 'http://a.test/', multipart: {b: '{{ omit }}'}}", "x");
        let prepared = prepare(&none).expect("renders");
        assert_eq!(prepared.body, format!("--rowhook-{}--\r\n", none.id));
        assert_eq!(
            prepared.header("Content-Type"),
            Some(&*format!("multipart/form-data; boundary=rowhook-{}", none.id))
        );
    }

    #[test]
    fn a_header_is_left_out_by_omit() {
        let call = "{url: 'http://a.test/', headers: {X-A: \"{{ omit if row.status == 'x' else row.status }}\"}}";
        assert_eq!(prepare(&delivery(call, "x")).expect("renders").header("X-A"), None);
        assert_eq!(prepare(&delivery(call, "y")).expect("renders").header("X-A"), Some("y"));
    }

    #[test]
    fn an_edited_body_is_sent_under_the_id_of_the_edit_and_all_else_as_the_rule_makes_it() {
        let secret = "whsec_dHJ5LW91dC1rZXktbm90LWEtc2VjcmV0LWF0LWFsbA==";
        let call = format!(
            "{{url: 'http://a.test/{{{{ row.id }}}}', headers: {{X-Status: '{{{{ row.status }}}}'}}, body: {{s: '{{{{ row.status }}}}'}}, sign: {{webhook: {secret}}}}}"
        );
        let plain = delivery(&call, "paid");
        let edited =
            |edit| Delivery { edited: Some(EditedBody { edit, body: "{\"s\": \"open\"} ".into() }), ..plain.clone() };
        let (before, first) = (prepare(&plain).expect("renders"), prepare(&edited(1)).expect("renders"));
        assert_eq!((&*first.body, &first.url), (&b"{\"s\": \"open\"} "[..], &before.url));
        for name in ["Idempotency-Key", auth::SIGNED_ID] {
            assert_eq!(first.header(name), Some(&*plain.id.of_edit(1, &first.body).to_string()), "{name}");
            assert_ne!(first.header(name), prepare(&edited(2)).expect("renders").header(name), "{name}");
        }
        for name in ["Content-Type", "X-Status", "User-Agent"] {
            assert_eq!(first.header(name), before.header(name), "{name}");
        }
        assert_eq!((first.headers.len(), &first.per_attempt), (before.headers.len(), &before.per_attempt));
        // Also where the row makes no body.
        let unrenderable = Delivery {
            edited: Some(EditedBody { edit: 1, body: "1".into() }),
            ..delivery("{url: 'http://a.test/', body: '{{ row.status | cents }}'}", "x")
        };
        assert_eq!(prepare(&unrenderable).expect("renders").body, "1");
        // A rule that was loaded meanwhile may send JSON, or none.
        let no_json = Delivery { edited: Some(EditedBody { edit: 1, body: "{".into() }), ..plain.clone() };
        assert!(prepare(&no_json).expect_err("no JSON").contains("the body is none"));
        let none = Delivery { edited: edited(1).edited, ..delivery("{url: 'http://a.test/', method: GET}", "x") };
        assert_eq!(prepare(&none).expect_err("it has no body"), "rule r sends no body");
    }

    #[test]
    fn a_rule_may_set_user_agent_and_content_type() {
        let call = "{url: 'http://a.test/', headers: {user-agent: mine, Content-Type: application/cloudevents+json}}";
        let prepared = prepare(&delivery(call, "paid")).expect("renders");
        assert_eq!(prepared.header("User-Agent"), Some("mine"));
        assert_eq!(prepared.header("Content-Type"), Some("application/cloudevents+json"));
        assert_eq!(prepared.headers.len(), 3);
    }

    #[test]
    fn delete_and_get_have_no_body_unless_the_rule_gives_one() {
        let prepared = prepare(&delivery("{url: 'http://a.test/', method: DELETE}", "paid")).expect("renders");
        assert!(prepared.body.is_empty());
        assert_eq!(prepared.header("content-type"), None);
        let prepared =
            prepare(&delivery("{url: 'http://a.test/', method: DELETE, body: {a: 1}}", "x")).expect("renders");
        assert_eq!(prepared.body, r#"{"a":1}"#);
    }

    #[test]
    fn control_characters_in_a_header_are_an_error_without_the_value() {
        for status in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\tb", "\u{7f}", "\u{85}"] {
            let call = "{url: 'http://a.test/', headers: {X-Status: '{{ row.status }}'}}";
            let message = prepare(&delivery(call, status)).expect_err(status);
            assert_eq!(message, "the value for header `X-Status` holds a control character, which no header may");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_an_error() {
        let large = "x".repeat(TEXT_BYTES_MAX);
        for call in ["{url: 'http://a.test/'}", "{url: 'http://a.test/', body: {a: '{{ row.status }}'}}"] {
            let message = prepare(&delivery(call, &large)).expect_err("too large");
            assert!(message.starts_with("`body`: the rendered text is larger than"), "{message}");
        }
    }

    #[test]
    fn curl_masks_secrets_and_quotes_for_the_shell() {
        let call = "{url: 'http://a.test/{{ row.id }}', headers: {X-Key: '{{ env.TOKEN }}', authorization: Basic abc, X-S: \"it's\"}, body: '{{ row.status }}'}";
        let prepared = prepare(&delivery(call, "it's")).expect("renders");
        assert_eq!(prepared.header("X-Key"), Some("s3cret"));
        let curl = prepared.shown().to_curl();
        assert!(curl.starts_with("curl -X POST 'http://a.test/7' \\\n  -H 'Idempotency-Key: "), "{curl}");
        assert!(curl.contains("-H 'X-Key: ***'") && curl.contains("-H 'authorization: ***'"), "{curl}");
        assert!(curl.ends_with(r#"--data-raw '"it'\''s"'"#), "{curl}");
        for shown in [curl, format!("{prepared:?}")] {
            assert!(!shown.contains("s3cret") && !shown.contains("abc"), "{shown}");
        }
        let call = "{url: 'http://a.test/hook/{{ env.TOKEN }}', body: {key: '{{ env.TOKEN }}'}}";
        let prepared = prepare(&delivery(call, "x")).expect("renders");
        assert_eq!(prepared.url.as_str(), "http://a.test/hook/s3cret");
        assert!(!prepared.shown().to_curl().contains("s3cret"), "{}", prepared.shown().to_curl());
        assert!(!format!("{prepared:?}").contains("s3cret"), "{prepared:?}");
    }
}
