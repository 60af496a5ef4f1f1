//! XA transactions between PREPARE and their outcome.
//!
//! In: the XA_PREPARE event, the rows before it, and the text of XA COMMIT and XA ROLLBACK. Out: the rows, where they are
//! committed. Owns what is prepared and undecided, within a limit (promise 6). A position does not cover it until it is
//! decided (promise 1): its GTID is left out of the set, so that another server sends it again, and its place is kept for
//! this one.

use std::sync::Arc;

use crate::change::Changes;
use crate::column::bytes::{Bytes, Truncated};
use crate::position::{FileOffset, Gtid};

use super::lexer::SqlToken;

/// Identity of an XA transaction, as `xid_t` has it in the server's `sql/xa.h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Xid {
    /// The lower half of the bits: an XA_PREPARE event has no more. The other two are unique by themselves.
    format: i32,
    /// Global part and branch, each of at most 64 bytes.
    global: Box<[u8]>,
    branch: Box<[u8]>,
}

/// What an XA_PREPARE event says (`XA_prepare_event` in `libs/mysql/binlog/event/control_events.h`).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prepare {
    /// The transaction is committed by this very event.
    OnePhase,
    TwoPhase(Xid),
}

impl Prepare {
    pub fn parse(body: &[u8]) -> Result<Prepare, Truncated> {
        let mut bytes = Bytes(body);
        if bytes.u8()? != 0 {
            return Ok(Prepare::OnePhase);
        }
        let format = bytes.le(4)? as i32;
        let (global_bytes, branch_bytes) = (bytes.le(4)? as usize, bytes.le(4)? as usize);
        let (global, branch) = (bytes.take(global_bytes)?.into(), bytes.take(branch_bytes)?.into());
        Ok(Prepare::TwoPhase(Xid { format, global, branch }))
    }
}

/// How a prepared transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Commit,
    Rollback,
}

/// Reads `XA COMMIT X'6162',X'',1`, the one form in which the server logs these statements.
pub(super) fn decision(tokens: &[SqlToken]) -> Option<(Decision, Xid)> {
    let [xa, verb, SqlToken::Hex(global), comma, SqlToken::Hex(branch), other_comma, format @ ..] = tokens else {
        return None;
    };
    let decision = match verb {
        _ if !xa.is("XA") || !comma.is_sign(',') || !other_comma.is_sign(',') => return None,
        verb if verb.is("COMMIT") => Decision::Commit,
        verb if verb.is("ROLLBACK") => Decision::Rollback,
        _ => return None,
    };
    let format = match format {
        [SqlToken::Word(digits)] => digits.parse::<i64>().ok()?,
        [SqlToken::Sign('-'), SqlToken::Word(digits)] => digits.parse::<i64>().ok()?.wrapping_neg(),
        _ => return None,
    };
    Some((decision, Xid { format: format as i32, global: bytes_of(global)?, branch: bytes_of(branch)? }))
}

fn bytes_of(digits: &str) -> Option<Box<[u8]>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// A prepared transaction with watched rows.
#[derive(Debug, Clone)]
pub(super) struct PreparedXa {
    pub xid: Xid,
    /// Of the transaction that ended with the PREPARE.
    pub gtid: Option<Gtid>,
    /// Where that transaction begins.
    pub begin: FileOffset,
    pub rows: Vec<Changes>,
    /// Bytes of row events that the rows hold.
    pub buffered_bytes: usize,
}

/// The prepared transactions that are not decided yet.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    prepared: Vec<PreparedXa>,
    /// Where they begin, as positions keep it.
    places: Arc<[FileOffset]>,
}

impl Undecided {
    pub fn buffered_bytes(&self) -> usize {
        self.prepared.iter().map(|prepared| prepared.buffered_bytes).sum()
    }

    pub fn add(&mut self, prepared: PreparedXa) {
        // Read again after a break of the connection, it replaces itself.
        self.prepared.retain(|known| known.xid != prepared.xid);
        self.prepared.push(prepared);
        self.note_places();
    }

    /// Takes out the transaction that is decided now; None if it has no watched rows or was prepared before the first
    /// start.
    pub fn take(&mut self, xid: &Xid) -> Option<PreparedXa> {
        let at = self.prepared.iter().position(|prepared| prepared.xid == *xid)?;
        let prepared = self.prepared.remove(at);
        self.note_places();
        Some(prepared)
    }

    pub fn into_last(mut self) -> Option<PreparedXa> {
        self.prepared.pop()
    }

    /// Whether one of them has no GTID, so that it can be found again only by its place.
    pub fn has_anonymous(&self) -> bool {
        self.prepared.iter().any(|prepared| prepared.gtid.is_none())
    }

    pub fn gtids(&self) -> impl Iterator<Item = &Gtid> {
        self.prepared.iter().filter_map(|prepared| prepared.gtid.as_ref())
    }

    /// Where they begin.
    pub fn places(&self) -> Arc<[FileOffset]> {
        Arc::clone(&self.places)
    }

    fn note_places(&mut self) {
        self.places = self.prepared.iter().map(|prepared| prepared.begin.clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::charset::Charset;
    use crate::source::lexer::{Modes, tokens};

    fn decision(text: &str) -> Option<(Decision, Xid)> {
        super::decision(&tokens(text.as_bytes(), Charset::Utf8, Modes::default())?)
    }

    fn xid(format: i32, global: &[u8], branch: &[u8]) -> Xid {
        Xid { format, global: global.into(), branch: branch.into() }
    }

    #[test]
    fn statement_and_event_name_the_same_transaction() {
        let body = [&[0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 1, 0, 0, 0][..], b"ab", b"c"].concat();
        let expected = xid(-1, b"ab", b"c");
        assert_eq!(Prepare::parse(&body), Ok(Prepare::TwoPhase(expected.clone())));
        assert_eq!(decision("XA COMMIT X'6162',X'63',-1"), Some((Decision::Commit, expected.clone())));
        assert_eq!(decision("xa rollback X'6162', X'63', -1"), Some((Decision::Rollback, expected)));
        let long = [&[0, 5, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0][..], b"a"].concat();
        let Ok(Prepare::TwoPhase(expected)) = Prepare::parse(&long) else { panic!("a two-phase prepare") };
        for format in ["2147483653", "6442450949", "-2147483643"] {
            let commit = format!("XA COMMIT X'61',X'',{format}");
            assert_eq!(decision(&commit), Some((Decision::Commit, expected.clone())), "{commit}");
        }
        assert_eq!(Prepare::parse(&[1]), Ok(Prepare::OnePhase));
    }

    #[test]
    fn other_texts_and_short_events_are_refused() {
        for text in [
            "XA COMMIT",
            "XA COMMIT X'6',X'',1",
            "XA COMMIT X'6g',X'',1",
            "XA COMMIT 'a','',1",
            "XA COMMIT X'61',X'',1,2",
            "XA COMMIT X'61',X''",
            "XA START X'61',X'',1",
            "XACOMMIT X'61',X'',1",
            "XA",
            "é",
        ] {
            assert_eq!(decision(text), None, "{text}");
        }
        let body = [0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a'];
        for length in 0..=body.len() {
            Prepare::parse(&body[..length]).expect_err("too short");
        }
    }
}
