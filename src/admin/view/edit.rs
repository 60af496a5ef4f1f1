//! The records of `edit`: a dead letter's body as it would be sent, and another one in its place.
//!
//! In: what an operator typed in; the newest edit of a dead letter. Out: plain records for the control socket and `--json`.

use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::change::DeliveryId;
use crate::store::LetterEdit;

/// The request of `edit`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    pub number: u64,
    /// In base64, so that a body of any characters is of the same length here. None: the body that the rule makes is sent again.
    pub body_base64: Option<String>,
    /// The number of the newest edit that the operator saw, 0 for none: where there is another meanwhile, nothing is done. None: whichever
    /// there is.
    #[serde(default)]
    pub base: Option<u32>,
}

/// The body that a replay would send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterBody {
    pub content_type: Option<String>,
    pub body: String,
    /// The number of the newest edit; 0: there is none.
    #[serde(default)]
    pub edit: u32,
}

/// What `edit` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditedLetter {
    pub edit: u32,
    /// The id under which a replay sends the body.
    pub idempotency_key: String,
}

impl EditedLetter {
    /// `body`: none where the edit was reverted.
    pub fn of(id: DeliveryId, edit: u32, body: Option<&[u8]>) -> EditedLetter {
        let key = body.map_or(id, |body| id.of_edit(edit, body));
        EditedLetter { edit, idempotency_key: key.to_string() }
    }
}

/// The newest edit of a dead letter's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditView {
    /// Counts up from 1, also after an edit was reverted.
    pub number: u32,
    /// When it was made, or reverted.
    pub at: String,
    /// The body that the rule makes is sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reverted: bool,
    /// The id under which a replay sends it; absent if it was reverted. Only in `show` and `export`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What a replay sends. Only in `show` and `export`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl EditView {
    /// Without the body and its key.
    pub fn of(edit: &LetterEdit) -> EditView {
        EditView {
            number: edit.number,
            at: rfc3339(edit.at_us),
            reverted: edit.is_reverted,
            idempotency_key: None,
            body: None,
        }
    }
}
