//! Which dead letters a command is about, as it goes over the control socket.
//!
//! In: conditions of the command line. Out: a record that says all of them; `admin::selecting` reads it. A condition that is not set
//! holds for every dead letter.

use serde::{Deserialize, Serialize};

use super::saga::SagaCommandView;

/// Which dead letters are meant: those that fit every condition that is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// One of these; empty: any.
    pub numbers: Vec<u64>,
    /// This number or a higher one.
    pub number_from: Option<u64>,
    /// This number or a lower one.
    pub number_to: Option<u64>,
    pub rule: Option<String>,
    /// `schema.table`.
    pub table: Option<String>,
    /// The row's primary key, as `list` shows it.
    pub key: Option<String>,
    pub reason: Option<String>,
    /// What the last attempt got: a status (`404`), a class of them (`4xx`), `network` or `timeout`.
    pub answer: Option<String>,
    /// Part of the message, in upper or lower case.
    pub message: Option<String>,
    /// Became a dead letter at this moment or later, in microseconds since the Unix epoch.
    pub created_from_us: Option<u64>,
    /// Became a dead letter before this moment, in microseconds since the Unix epoch.
    pub created_before_us: Option<u64>,
    /// Every letter. Must be said where nothing else is, so that an empty selection never means all.
    pub all: bool,
    /// Those that were closed by hand, and no others; a number that is named is meant, closed or not.
    pub resolved: bool,
    /// Of a replay: the command for sagas.
    pub saga_command: Option<SagaCommandView>,
}

impl Selection {
    /// Whether nothing at all was said about which letters are meant.
    pub fn is_empty(&self) -> bool {
        Selection { saga_command: None, ..self.clone() } == Selection::default()
    }

    /// Whether every letter is meant that is not resolved.
    pub fn is_of_all(&self) -> bool {
        Selection { saga_command: None, all: false, ..self.clone() } == Selection::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_selection_does_not_mean_all() {
        let empty: Selection = serde_json::from_str("{}").expect("an object");
        assert!(empty.is_empty() && !empty.all);
        assert!(!Selection { all: true, ..Selection::default() }.is_empty());
        let saga_command: Selection =
            serde_json::from_str(r#"{"saga_command": {"happened": false}}"#).expect("a command");
        assert_eq!(
            (saga_command.is_empty(), saga_command.saga_command),
            (true, Some(SagaCommandView::Happened(false))),
            "a command names no dead letters"
        );
        serde_json::from_str::<Selection>(r#"{"numbres": [1]}"#).expect_err("a misspelt condition must not mean all");
    }
}
