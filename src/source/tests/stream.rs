//! A whole stream of events through everything that takes part in reading it, but for sockets.
//!
//! In: events as they travel. Out: what became of them: rows, commits, the first error. Rows are taken as the pipeline
//! takes them. Where names would be asked of a server, reading ends.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use uuid::Uuid;

use super::super::checksum::Checksums;
use super::super::event::{BinlogEvent, HEADER_BYTES};
use super::super::server::Server;
use super::super::settings::{Settings, TlsMode};
use super::super::tables::Tables;
use super::super::tracking::Tracking;
use super::super::transaction::Transactions;
use super::super::unpack::Unpacker;
use super::super::{SourceEvent, event_type};
use super::captured;
use super::mutation::{Mutator, sealed};
use crate::pattern::{TablePattern, TablePatterns};
use crate::position::FileOffset;
use crate::schema::Schema;

#[derive(Debug, Default)]
pub struct Read {
    /// Bytes that came, and those that came out of compressed transactions.
    pub bytes: usize,
    pub rows: usize,
    pub committed: usize,
    pub error: Option<String>,
}

/// Where a server would be asked, asking it must find a runtime; nothing is awaited there.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn transactions() -> Transactions {
    let mut settings = Settings::from_url("mysql://reader@127.0.0.1:1", Uuid::nil()).expect("a URL");
    settings.tls.mode = TlsMode::Disabled;
    let patterns = TablePatterns(vec![TablePattern::parse("test.*").expect("a pattern")]);
    let charsets = Arc::new(captured::charsets());
    let server = Server {
        address: settings.address(),
        uuid: Uuid::nil(),
        version: "9.7.4".to_string(),
        charsets: Arc::clone(&charsets),
        keeping: crate::source::keeping::Keeping::Unknown,
        platform: crate::source::platform::Platform::Own,
        has_gtids: true,
        variables: HashMap::new(),
    };
    let tables = Tables::new(patterns, charsets, Tracking::new(&settings, &server, &Schema::default()));
    let place = FileOffset { file: "binlog.000001".into(), offset: 4 };
    Transactions::new(Uuid::nil(), place, Vec::new(), tables)
}

/// Reads up to the first error.
pub fn read(raw: &[Bytes]) -> Read {
    let mut read = Read::default();
    if let Err(error) = read_on(raw, &mut read) {
        read.error = Some(error);
    }
    read
}

fn read_on(raw: &[Bytes], read: &mut Read) -> Result<(), String> {
    let mut transactions = transactions();
    let mut checksums = Checksums::default();
    let mut unpacker = Unpacker::new().map_err(|fault| fault.what)?;
    for raw in raw {
        read.bytes += raw.len();
        let event = checksums.verify(raw).map_err(|fault| fault.what)?;
        take(&mut transactions, &event, read)?;
        if event.kind == event_type::TRANSACTION_PAYLOAD {
            unpacker.open(&event.body).map_err(|fault| fault.what)?;
            while let Some(inner) = unpacker.next().map_err(|fault| fault.what)? {
                read.bytes += inner.body.len() + HEADER_BYTES;
                take(&mut transactions, &inner, read)?;
            }
        }
    }
    Ok(())
}

fn take(transactions: &mut Transactions, event: &BinlogEvent, read: &mut Read) -> Result<(), String> {
    let mut out = Vec::new();
    match transactions.take(event, &mut out).now_or_never() {
        Some(outcome) => outcome.map(drop).map_err(|error| error.to_string())?,
        None => return Err("a server is asked".to_string()),
    }
    for event in out {
        match event {
            SourceEvent::Rows(changes) => {
                read.rows += changes.iter().map(|changes| changes.len()).sum::<usize>();
                changes.into_iter().for_each(super::consume);
            }
            SourceEvent::Committed(_) => read.committed += 1,
            _ => {}
        }
    }
    Ok(())
}

/// A compressed transaction with damage to an event inside; any other event as it is.
pub fn repacked(raw: &Bytes, mutator: &mut Mutator) -> Bytes {
    if raw[4] != event_type::TRANSACTION_PAYLOAD {
        return raw.clone();
    }
    let body = raw.slice(HEADER_BYTES..raw.len() - 4);
    let mut unpacker = Unpacker::new().expect("an unpacker");
    let mut inside = Vec::new();
    if unpacker.open(&body).is_ok() {
        while let Ok(Some(event)) = unpacker.next() {
            inside.push(event);
        }
    }
    let at = mutator.below(inside.len());
    let events: Vec<Vec<u8>> =
        inside.iter().enumerate().map(|(index, event)| inner(event, index == at, mutator)).collect();
    payload(&raw[..HEADER_BYTES], &events.concat(), mutator.one_in(2))
}

/// An event as it stands inside, without a checksum.
fn inner(event: &BinlogEvent, is_damaged: bool, mutator: &mut Mutator) -> Vec<u8> {
    let mut body = event.body.to_vec();
    if is_damaged {
        let other = body.clone();
        mutator.damage(&mut body, &other, false);
    }
    unchecked(event.kind, &body)
}

pub fn unchecked(kind: u8, body: &[u8]) -> Vec<u8> {
    let size = (HEADER_BYTES + body.len()) as u32;
    [&[0, 0, 0, 0, kind, 1, 0, 0, 0][..], &size.to_le_bytes(), &[0; 6], body].concat()
}

/// A TRANSACTION_PAYLOAD event around these bytes.
pub fn payload(header: &[u8], inside: &[u8], is_compressed: bool) -> Bytes {
    let packed = if is_compressed { zstd::encode_all(inside, 1).expect("compressed") } else { inside.to_vec() };
    let mut body = if is_compressed { vec![2, 1, 0] } else { vec![2, 3, 0xfc, 255, 0] };
    for (field, value) in [(3_u8, inside.len()), (1, packed.len())] {
        body.extend([field, 9, 0xfe]);
        body.extend((value as u64).to_le_bytes());
    }
    body.push(0);
    body.extend(packed);
    sealed(header, &body)
}
