//! One transaction while it is being read: its rows, its ordinals, and whether it is complete.
//!
//! In: what its events say. Out: its rows, when `transaction` asks for them. Owns what is buffered until the commit and the
//! count of rows by table, on which the identity of deliveries rests (promise 3). Checks the sizes that the log itself
//! promises, so that an event that went missing on the way is noticed.

use std::sync::Arc;

use crate::change::{Changes, Transaction};
use crate::column::Fault;
use crate::position::{Anchor, Within};
use crate::schema::TableName;

use super::SourceEvent;
use super::decode::RowsEvent;
use super::tables::Watched;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupStage {
    /// Its GTID event was read, nothing else.
    Announced,
    Open,
    OpenXa,
}

/// A transaction from its GTID event to its end.
#[derive(Debug)]
pub(super) struct Group {
    pub transaction: Arc<Transaction>,
    /// The proof by which the log is recognized when the transaction has ended.
    pub anchor: Arc<Anchor>,
    pub stage: GroupStage,
    /// Bytes of watched row events that wait.
    pub buffered_bytes: usize,
    /// A part of it was handed on before its end.
    pub is_streaming: bool,
    buffered: Vec<Changes>,
    counts: Vec<(Arc<str>, u64)>,
    /// Rows that were handed on over an earlier connection.
    skip: Vec<Within>,
    wire: Sum,
    payload: Option<Sum>,
}

/// Bytes promised (0: nothing is) and seen.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    promised: u64,
    seen: u64,
}

impl Group {
    /// Begins with the GTID event of `event_bytes`, which promises the bytes of the whole transaction.
    pub fn new(
        transaction: Arc<Transaction>,
        anchor: Arc<Anchor>,
        event_bytes: u64,
        promised: u64,
        skip: Vec<Within>,
    ) -> Group {
        Group {
            transaction,
            anchor,
            stage: GroupStage::Announced,
            buffered_bytes: 0,
            is_streaming: false,
            buffered: Vec::new(),
            counts: Vec::new(),
            skip,
            wire: Sum { promised, seen: event_bytes },
            payload: None,
        }
    }

    /// Says whether the rows that follow belong to a statement that rowhook marked as its own.
    pub fn attribute(&mut self, is_marked: bool) {
        let is_own = is_marked || self.transaction.has_own_tag();
        if self.transaction.is_own != is_own {
            Arc::make_mut(&mut self.transaction).is_own = is_own;
        }
    }

    /// A compressed transaction begins; an error when it may not.
    pub fn open_payload(&mut self, promised: u64) -> Result<(), String> {
        if self.stage != GroupStage::Announced || self.payload.is_some() {
            return Err("a compressed transaction in a place where none may be".to_string());
        }
        self.payload = Some(Sum { promised, seen: 0 });
        Ok(())
    }

    /// Counts an event from inside a compressed transaction.
    pub fn count_inner(&mut self, bytes: u64) -> Result<(), String> {
        let payload = self.payload.as_mut();
        payload.ok_or("an event from a compressed transaction that did not begin")?.seen += bytes;
        Ok(())
    }

    /// Counts an event of the stream itself; all events of a compressed transaction must have been read before.
    pub fn count_outer(&mut self, bytes: u64) -> Result<(), String> {
        self.wire.seen += bytes;
        self.payload_is_whole()
    }

    fn payload_is_whole(&self) -> Result<(), String> {
        match self.payload {
            Some(Sum { promised, seen }) if promised != seen => {
                Err(format!("a compressed transaction gave {seen} of {promised} bytes"))
            }
            _ => Ok(()),
        }
    }

    /// Whether all bytes that the GTID event promised have come.
    pub fn is_whole(&self) -> Result<(), String> {
        self.payload_is_whole()?;
        let Sum { promised, seen } = self.wire;
        if promised == 0 || promised == seen {
            Ok(())
        } else {
            Err(format!("a transaction of {promised} bytes came with {seen}"))
        }
    }

    /// Adds the rows of an event; rows that were handed on before are only counted.
    pub fn collect(&mut self, event: &RowsEvent<'_>, watched: &Watched) -> Result<(), Fault> {
        let at = self.counts.iter().position(|(table, _)| *table == watched.qualified).unwrap_or_else(|| {
            self.counts.push((Arc::clone(&watched.qualified), 0));
            self.counts.len() - 1
        });
        let known = self.skip.iter().find(|within| *within.table == *watched.qualified);
        let skipped = known.map_or(0, |within| within.rows);
        let (table, transaction) = (Arc::clone(&watched.table), Arc::clone(&self.transaction));
        let rows = event.rows(&watched.kinds)?;
        let first_ordinal = self.counts[at].1 + 1;
        let mut changes = Changes::new(event.op, table, transaction, rows, first_ordinal);
        self.counts[at].1 = changes.last_ordinal();
        changes.skip_through(skipped);
        if !changes.is_empty() {
            self.buffered.push(changes);
        }
        Ok(())
    }

    /// A table was truncated; left out if that was handed on before.
    pub fn truncate(&mut self, table: &TableName) {
        if self.skip.iter().all(|within| *within.table != *table.to_string()) {
            self.buffered.push(Changes::truncate(&table.schema, &table.table, Arc::clone(&self.transaction)));
        }
    }

    /// Takes out the buffered rows, with their size in bytes.
    pub fn take_buffered(&mut self) -> (Vec<Changes>, usize) {
        (std::mem::take(&mut self.buffered), std::mem::take(&mut self.buffered_bytes))
    }

    /// Adds the rows of an XA transaction that this one commits; they belong to this one from now on.
    pub fn adopt(&mut self, rows: Vec<Changes>) {
        for mut changes in rows {
            changes.belong_to(&self.transaction);
            let table = changes.table();
            let known = self.skip.iter().find(|within| *within.table == *table.to_string());
            changes.skip_through(known.map_or(0, |within| within.rows));
            if !changes.is_empty() {
                self.buffered.push(changes);
            }
        }
    }

    pub fn discard(&mut self) {
        self.buffered_bytes = 0;
        self.buffered.clear();
    }

    pub fn give_out(&mut self, out: &mut Vec<SourceEvent>) {
        self.buffered_bytes = 0;
        if !self.buffered.is_empty() {
            out.push(SourceEvent::Rows(std::mem::take(&mut self.buffered)));
        }
    }
}
