//! The part of a request that describes one change: the item, without the envelope around it.
//!
//! In: a delivery and the form its rule wants. Out: bytes appended to a buffer, and, for a CloudEvent whose attributes
//! are headers, those headers. Signing, compression and the other headers belong to the envelope (`request`), so that
//! several items can share one.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::change::{Change, Value, json};
use crate::delivery::{Delivery, SagaAction};
use crate::rules::{Body, CloudEventMode};
use crate::template::{Error, Scope, boundary_of};

/// Everything but RFC 3986's unreserved characters: what a segment of a path may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is percent-encoded in a header's value, besides all that is not ASCII (CloudEvents, HTTP protocol binding 1.0.2,
/// section 3.1.3.2).
const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// A longer subject is left out: many servers refuse larger headers.
const SUBJECT_BYTES_MAX: usize = 1024;

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemPlace {
    /// It is the whole body.
    Alone,
    /// It is an element of a JSON array: a CloudEvent has all its attributes within.
    InArray,
    /// It is a line of the body: JSON, or a text.
    OnLine,
}

/// Appends the item of one delivery, in the form of `body`. An error leaves a part of it in `out`.
pub fn write(
    delivery: &Delivery,
    body: &Body,
    scope: &Scope,
    place: ItemPlace,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match (body, place) {
        (Body::Empty, _) => {}
        (Body::Template(template), _) => template.render(scope, out)?,
        (Body::Form(form), _) => form.render(scope, out)?,
        (Body::Multipart(parts), _) => parts.render(scope, &delivery.call_id().to_string(), out)?,
        (Body::Text(text), _) => text.append(scope, out)?,
        (Body::Row, _) => match delivery.change.row() {
            Some(row) => json::write_row(&delivery.change.table, row, out),
            None => out.extend_from_slice(b"null"),
        },
        (Body::CloudEvent(CloudEventMode::Structured), _)
        | (Body::CloudEvent(_), ItemPlace::InArray | ItemPlace::OnLine) => {
            write_cloud_event(delivery, out);
        }
        (Body::Outcome, _) => write_outcome(delivery, out),
        (Body::Change | Body::CloudEvent(CloudEventMode::Binary), _) => write_change(delivery, out),
    }
    Ok(())
}

/// The media type of a body whose items stand so; `rendered` is the body.
pub fn content_type(body: &Body, place: ItemPlace, rendered: &[u8]) -> Cow<'static, str> {
    Cow::Borrowed(match (body, place) {
        (Body::Multipart(_), _) => {
            return Cow::Owned(format!("multipart/form-data; boundary={}", boundary_of(rendered)));
        }
        (Body::Text(_), ItemPlace::Alone | ItemPlace::OnLine) => "text/plain; charset=utf-8",
        (_, ItemPlace::OnLine) => "application/x-ndjson",
        (Body::CloudEvent(_), ItemPlace::InArray) => "application/cloudevents-batch+json",
        (Body::CloudEvent(CloudEventMode::Structured), ItemPlace::Alone) => "application/cloudevents+json",
        (Body::Form(_), ItemPlace::Alone) => "application/x-www-form-urlencoded",
        _ => "application/json",
    })
}

/// The headers that belong to an item which is the whole body: names and values, percent-encoded as the binding says.
pub fn headers(delivery: &Delivery, body: &Body) -> impl Iterator<Item = (String, String)> {
    let is_binary = matches!(body, Body::CloudEvent(CloudEventMode::Binary));
    let attributes = is_binary.then(|| attributes(delivery)).into_iter().flatten();
    // The content type has a header of its own.
    attributes
        .filter(|(name, _)| *name != "datacontenttype")
        .map(|(name, value)| (format!("ce-{name}"), utf8_percent_encode(&value, HEADER).to_string()))
}

fn write_change(delivery: &Delivery, out: &mut Vec<u8>) {
    json::write_event(&delivery.change, &delivery.rule.name, delivery.id, out);
}

/// `{id, rule, outcome, standing, steps, schema, table, key, committed_at}`.
fn write_outcome(delivery: &Delivery, out: &mut Vec<u8>) {
    let SagaAction { log, .. } =
        delivery.saga_action.as_ref().expect("only a saga has callbacks that report its outcome");
    let member = |name: &str, value: &str, out: &mut Vec<u8>| {
        json::write_str(name, out);
        out.push(b':');
        json::write_str(value, out);
        out.push(b',');
    };
    out.push(b'{');
    member("id", &delivery.id.to_string(), out);
    member("rule", &delivery.rule.name, out);
    member("outcome", log.outcome(), out);
    member("standing", log.effect().in_bodies(), out);
    out.extend_from_slice(b"\"steps\":[");
    for (n, step) in log.steps.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",{" } else { b"{" });
        member("name", &step.name, out);
        member("state", step.act.state.as_str(), out);
        member("undo", step.undo.state.as_str(), out);
        member("said", &step.act.message, out);
        out.extend_from_slice(format!("\"attempts\":{}}}", step.act.attempts).as_bytes());
    }
    out.extend_from_slice(b"],");
    let change = &delivery.change;
    member("schema", &change.table.schema, out);
    member("table", &change.table.name, out);
    out.extend_from_slice(b"\"key\":");
    json::write_key(change, out);
    out.push(b',');
    let committed_at = json::rfc3339(change.transaction.committed_at_us);
    out.extend_from_slice(format!("\"committed_at\":\"{committed_at}\"}}").as_bytes());
}

fn write_cloud_event(delivery: &Delivery, out: &mut Vec<u8>) {
    out.push(b'{');
    for (name, value) in attributes(delivery) {
        json::write_str(name, out);
        out.push(b':');
        json::write_str(&value, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"data\":");
    write_change(delivery, out);
    out.push(b'}');
}

/// The context attributes of CloudEvents 1.0. `source` has no server in it, so that an event keeps its identity after
/// a failover.
fn attributes(delivery: &Delivery) -> Vec<(&'static str, String)> {
    let change = &delivery.change;
    let (schema, table) = (&*change.table.schema, &*change.table.name);
    let source = format!("/rowhook/{}/{}", segment(schema), segment(table));
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", delivery.id.to_string()),
        ("source", source),
        ("type", format!("rowhook.{schema}.{table}.{}", change.op.as_str())),
        ("time", json::rfc3339(change.transaction.committed_at_us)),
        ("datacontenttype", "application/json".to_owned()),
    ];
    attributes.extend(subject(change).map(|subject| ("subject", subject)));
    attributes
}

/// The primary key's values as segments of a path; None for a table without a key, and for one whose values are not all
/// in the row image.
fn subject(change: &Change) -> Option<String> {
    let mut subject = String::new();
    for index in &change.table.primary_key {
        if !subject.is_empty() {
            subject.push('/');
        }
        match change.latest(*index)? {
            Value::Null => return None,
            Value::Text(text) | Value::Decimal(text) => subject.push_str(&segment(&text)),
            value => {
                let mut json = Vec::new();
                json::write_value(&value, &mut json);
                subject.push_str(&segment(String::from_utf8_lossy(&json).trim_matches('"')));
            }
        }
    }
    (1..=SUBJECT_BYTES_MAX).contains(&subject.len()).then_some(subject)
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests;
