//! The log of moved positions, and the positions as they are stored.
//!
//! In: which positions an operator moved, from where to where. Out: a record with the newest of these changes, beside
//! the checkpoint that they made; and, for display, every low-water mark without its definitions. Knows nothing of
//! servers. The log is only for people: it drops old entries, and texts that are too long.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunks::{self, Damage, Framed};
use super::trees::Trees;
use super::{Error, RuleCheckpoint, checkpoint};
use crate::position::Resume;

/// Name of the record, in the tree of checkpoints. Earlier versions ignore it.
pub(super) const POSITION_LOG: &[u8] = b"position_log";

/// Changes that are kept.
const CHANGES_MAX: usize = 100;

/// How long the texts of all of them may be: GTID sets may be long, and a command may move many rules.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// One command that moved positions, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionChange {
    /// In microseconds since the Unix epoch.
    pub at_us: u64,
    /// The user of the operating system who did it.
    pub by: String,
    /// The option of the command: `--skip-transaction`, `--after ...` or `--to ...`.
    pub how: String,
    pub note: Option<String>,
    pub moves: Vec<PositionMove>,
}

/// One low-water mark that was moved, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionMove {
    /// None: the main stream's.
    pub rule: Option<String>,
    pub from: String,
    pub to: String,
    /// None: not known, because the server no longer has them or they are too many to be counted. The same for the others.
    pub skipped_transactions: Option<u64>,
    pub skipped_bytes: Option<u64>,
    pub repeated_transactions: Option<u64>,
    pub repeated_bytes: Option<u64>,
}

/// The low-water marks as they are stored; their definitions are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// None: no checkpoint was ever written.
    pub main: Option<Resume>,
    /// Those of rules at other positions, by name.
    pub rules: Vec<RuleCheckpoint>,
    /// The oldest first.
    pub log: Vec<PositionChange>,
}

impl PositionChange {
    fn text_bytes(&self) -> usize {
        let moves = self.moves.iter().map(|moved| moved.from.len() + moved.to.len());
        self.by.len() + self.how.len() + self.note.as_ref().map_or(0, String::len) + moves.sum::<usize>()
    }
}

/// The newest changes that there is room for; there is always room for the last one.
pub(super) fn encode(log: &[PositionChange]) -> Framed {
    let mut text_bytes = 0;
    let fits = |change: &&PositionChange| {
        text_bytes += change.text_bytes();
        text_bytes <= TEXT_BYTES_MAX
    };
    let kept = log.iter().rev().take(CHANGES_MAX).take_while(fits).count().max(1).min(log.len());
    Framed::json(&&log[log.len() - kept..])
}

pub(super) fn decode(content: &[u8]) -> Result<Vec<PositionChange>, Damage> {
    chunks::decode(content)
}

impl Trees {
    pub(super) fn position_log(&self) -> Result<Vec<PositionChange>, Error> {
        let called = || "the log of moved positions".to_string();
        let Some(content) = self.record(&self.checkpoints, POSITION_LOG, called)? else { return Ok(Vec::new()) };
        decode(&content).map_err(|damage| Error::record(called(), damage))
    }

    pub(super) fn positions(&self) -> Result<Positions, Error> {
        let called = || "the checkpoint".to_string();
        let main = self.record(&self.checkpoints, checkpoint::MAIN, called)?;
        let main = main.map(|content| checkpoint::decode(&content, Arc::default())).transpose();
        let main = main.map_err(|damage| Error::record(called(), damage))?;
        let mut rules: Vec<RuleCheckpoint> = self.recorded_rules()?.into_iter().map(|rule| rule.checkpoint).collect();
        rules.sort_by(|one, other| one.rule.cmp(&other.rule));
        Ok(Positions { main, rules, log: self.position_log()? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::set;
    use super::super::{Store, Write};
    use super::*;

    fn change(at_us: u64, text: &str) -> PositionChange {
        let moved = PositionMove {
            rule: Some("r".to_string()),
            from: text.to_string(),
            to: "b.000002:4".to_string(),
            skipped_transactions: Some(3),
            ..PositionMove::default()
        };
        let (by, how) = ("root".to_string(), "--to latest".to_string());
        PositionChange { at_us, by, how, note: Some("n".to_string()), moves: vec![moved] }
    }

    fn kept(log: &[PositionChange]) -> Vec<u64> {
        let framed = encode(log);
        let read = chunks::read::<Damage>(|chunk| Ok(framed.chunks().nth(chunk as usize).map(|(_, c)| c.into())));
        let read = decode(&read.expect("whole").expect("there")).expect("a log");
        read.iter().map(|change| change.at_us).collect()
    }

    #[test]
    fn the_newest_changes_are_kept_in_number_and_in_bytes() {
        let many: Vec<PositionChange> = (0..150).map(|at| change(at, "b.000001:4")).collect();
        assert_eq!(kept(&many), (50..150).collect::<Vec<_>>());
        let long = "x".repeat(TEXT_BYTES_MAX / 2 + 1);
        assert_eq!(kept(&[change(1, "short"), change(2, &long), change(3, &long)]), [3]);
        assert_eq!(kept(&[change(1, "short"), change(2, &long), change(3, "short")]), [1, 2, 3]);
        assert_eq!(kept(&[change(1, "short"), change(2, &"x".repeat(TEXT_BYTES_MAX + 1))]), [2]);
        assert_eq!(kept(&[]), [0; 0]);
    }

    #[tokio::test]
    async fn a_change_is_stored_with_the_checkpoint_that_it_made_and_read_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = vec![change(7, "b.000001:4"), change(8, "b.000001:9")];
        {
            let store = Store::open(directory.path()).expect("opens");
            assert_eq!(store.positions().expect("read"), Positions { main: None, rules: vec![], log: vec![] });
            let write = Write { checkpoint: Some(set(5)), position_log: Some(log.clone()), ..Write::default() };
            store.write(write).await.expect("written");
        }
        let store = Store::open(directory.path()).expect("opens");
        let positions = store.positions().expect("read");
        let saved = store.saved().expect("read").checkpoint.expect("a checkpoint");
        assert_eq!((positions.main.expect("main").position, positions.log), (saved.main.position, log.clone()));
        // A later checkpoint leaves the log as it is.
        store.write(Write { checkpoint: Some(set(6)), ..Write::default() }).await.expect("written");
        assert_eq!(store.positions().expect("read").log, log);
    }
}
