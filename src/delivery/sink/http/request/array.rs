//! Renders many deliveries of a rule into one request, whose body is an array of their bodies, or has them on lines.
//!
//! In: the items of a part, in commit order. Out: the request, and the items that fit into no request; or, where not all
//! fit into one request, how many do. All bodies are written one after the other into one buffer. The identity of the call
//! follows from those of the deliveries in it (promise 3).

use super::super::item::ItemPlace;
use super::super::prepared::PreparedRequest;
use super::{USUAL_BYTES, envelope, in_words, write_body, write_item_body};
use crate::change::DeliveryId;
use crate::delivery::bundle::{Item, RenderedArray, Unready};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::failure::Reason;
use crate::rules::{BatchFormat, Body, Call, Rule};
use crate::template::{Error, Scope};

/// The request of a single delivery of a rule that sends arrays.
pub(super) fn prepare_one(delivery: &Delivery, call: &Call) -> Result<PreparedRequest, String> {
    let RenderedArray { mut unfit, ready } = prepare_all(&[Item::alone(delivery.clone())], call);
    match (ready, unfit.pop()) {
        (Ok(prepared), _) => Ok(prepared),
        (Err(Unready::Unrenderable(why)), _) => Err(why),
        (Err(_), Some((_, failure))) => Err(failure.message),
        (Err(_), None) => Err("the rule's array could not be made".to_owned()),
    }
}

/// What stands around the items of a call.
#[derive(Debug)]
struct Frame {
    place: ItemPlace,
    open: Vec<u8>,
    between: &'static [u8],
    close: Vec<u8>,
}

impl Frame {
    /// An error is a line for people.
    fn of(rule: &Rule, call: &Call, scope: &Scope) -> Result<Frame, String> {
        match rule.batch.as_ref().map_or(BatchFormat::Array, |batch| batch.format) {
            BatchFormat::Array => {
                let around = call.array_wrap.as_ref().map(|wrap| wrap.render(scope)).transpose();
                let (before, behind) = around.map_err(|error| format!("`wrap`: {error}"))?.unwrap_or_default();
                let (open, close) = ([&before[..], b"["].concat(), [b"]", &behind[..]].concat());
                Ok(Frame { place: ItemPlace::InArray, open, between: b",", close })
            }
            BatchFormat::Ndjson | BatchFormat::Lines => {
                Ok(Frame { place: ItemPlace::OnLine, open: Vec::new(), between: b"", close: Vec::new() })
            }
        }
    }
}

/// Renders items of one rule that sends several in a call.
pub(in crate::delivery) fn prepare_all(items: &[Item], call: &Call) -> RenderedArray<PreparedRequest> {
    let rule = &items[0].delivery.rule;
    let bytes_max = rule.batch.as_ref().map_or(usize::MAX, |batch| batch.bytes);
    // What belongs to the request reads no row, so that any delivery will do for it.
    let Delivery { change, id, .. } = &items[0].delivery;
    let scope = Scope::new(change, *id);
    let frame = match Frame::of(rule, call, &scope) {
        Ok(frame) => frame,
        Err(why) => return RenderedArray { unfit: Vec::new(), ready: Err(Unready::Unrenderable(why)) },
    };
    let mut out = Vec::with_capacity((items.len() * USUAL_BYTES).min(bytes_max));
    let mut unfit = Vec::new();
    let mut ids = Vec::with_capacity(items.len());
    out.extend_from_slice(&frame.open);
    for (index, Item { delivery, .. }) in items.iter().enumerate() {
        let begin = out.len();
        if !ids.is_empty() {
            out.extend_from_slice(frame.between);
        }
        match write_item(delivery, call, frame.place, &mut out) {
            // What comes at the end counts, too. A single item is sent whatever its size.
            Ok(()) if out.len() + frame.close.len() > bytes_max && !ids.is_empty() => {
                return RenderedArray { unfit, ready: Err(Unready::TooLarge { fitting: ids.len() }) };
            }
            Ok(()) => ids.push(delivery.id),
            Err(failure) => {
                out.truncate(begin);
                unfit.push((index, failure));
            }
        }
    }
    out.extend_from_slice(&frame.close);
    let ready = match ids.is_empty() {
        true => Err(Unready::Nothing),
        false => envelope(call, DeliveryId::of_all(ids), frame.place, &scope, || Ok(out.into()))
            .map_err(Unready::Unrenderable),
    };
    RenderedArray { unfit, ready }
}

fn write_item(delivery: &Delivery, call: &Call, place: ItemPlace, out: &mut Vec<u8>) -> Result<(), Failure> {
    if let Some(Outcome::Dead(failure)) = &delivery.predetermined {
        return Err(failure.clone());
    }
    let scope = Scope::new(&delivery.change, delivery.id);
    let written = match place {
        ItemPlace::OnLine => write_lines(delivery, call, &scope, out),
        ItemPlace::Alone | ItemPlace::InArray => write_body(delivery, &call.body, &scope, place, out),
    };
    written.map_err(|message| Failure { reason: Reason::Unrenderable, message })
}

/// The item on a line of its own, behind the line before it where the rule has one; then its body may be left out. JSON has no line
/// breaks within.
fn write_lines(delivery: &Delivery, call: &Call, scope: &Scope, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(line) = &call.item_line {
        line.render(scope, out).map_err(|error| format!("`line`: {error}"))?;
        out.push(b'\n');
    }
    let begin = out.len();
    match write_item_body(delivery, &call.body, scope, ItemPlace::OnLine, out) {
        Err(Error::Omitted) if call.item_line.is_some() => {
            out.truncate(begin);
            return Ok(());
        }
        written => written.map_err(|error| in_words(&call.body, &error))?,
    }
    // A template may end its line by itself; a line break that a value ends with is another matter.
    if let Body::Text(text) = &call.body {
        out.truncate(out.len() - text.line_end().len());
    }
    if out[begin..].iter().any(|byte| [b'\n', b'\r'].contains(byte)) {
        return Err("`text`: a value has a line break, which would begin another line of the batch".to_owned());
    }
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests;
