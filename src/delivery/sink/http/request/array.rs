//! Renders many deliveries of a rule into one request, whose body is the array of their bodies.
//!
//! In: the items of a part, in commit order. Out: the request, and the items that fit into no request; or, where not all
//! fit into one request, how many do. All bodies are written one after the other into one buffer. The identity of the call
//! follows from those of the deliveries in it (promise 3).

use super::super::item::ItemPlace;
use super::super::prepared::PreparedRequest;
use super::{USUAL_BYTES, prepared, render_headers, write_body};
use crate::change::DeliveryId;
use crate::delivery::bundle::{Item, RenderedArray, Unready};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::failure::Reason;
use crate::rules::Call;
use crate::template::Scope;

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

/// Renders items of one rule that sends arrays.
pub(in crate::delivery) fn prepare_all(items: &[Item], call: &Call) -> RenderedArray<PreparedRequest> {
    let rule = &items[0].delivery.rule;
    let bytes_max = rule.batch.as_ref().map_or(usize::MAX, |batch| batch.bytes);
    let mut out = Vec::with_capacity((items.len() * USUAL_BYTES).min(bytes_max));
    let mut unfit = Vec::new();
    let mut ids = Vec::with_capacity(items.len());
    out.push(b'[');
    for (index, Item { delivery, .. }) in items.iter().enumerate() {
        let begin = out.len();
        if !ids.is_empty() {
            out.push(b',');
        }
        match write_item(delivery, call, &mut out) {
            // The bracket at the end counts, too. A single item is sent whatever its size.
            Ok(()) if out.len() >= bytes_max && !ids.is_empty() => {
                return RenderedArray { unfit, ready: Err(Unready::TooLarge { fitting: ids.len() }) };
            }
            Ok(()) => ids.push(delivery.id),
            Err(failure) => {
                out.truncate(begin);
                unfit.push((index, failure));
            }
        }
    }
    out.push(b']');
    let ready = match ids.is_empty() {
        true => Err(Unready::Nothing),
        false => envelope(&items[0].delivery, call, DeliveryId::of_all(ids), out).map_err(Unready::Unrenderable),
    };
    RenderedArray { unfit, ready }
}

fn write_item(delivery: &Delivery, call: &Call, out: &mut Vec<u8>) -> Result<(), Failure> {
    if let Some(Outcome::Dead(failure)) = &delivery.predetermined {
        return Err(failure.clone());
    }
    let scope = Scope::new(&delivery.change, delivery.id);
    write_body(delivery, &call.body, &scope, ItemPlace::InArray, out)
        .map_err(|message| Failure { reason: Reason::Unrenderable, message })
}

/// URL and headers. When a rule sends arrays they read no row, so they can be rendered from any delivery.
fn envelope(any: &Delivery, call: &Call, id: DeliveryId, body: Vec<u8>) -> Result<PreparedRequest, String> {
    let scope = Scope::new(&any.change, any.id);
    let url = call.url.render(&scope).map_err(|error| format!("`url`: {error}"))?;
    let headers = render_headers(call, id, ItemPlace::InArray, &scope)?;
    Ok(prepared(call, url, headers, body.into()))
}

#[cfg(test)]
mod tests;
