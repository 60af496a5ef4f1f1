//! Whether what the server says to the client library is an answer to what that asked.
//!
//! In: the bytes of both directions, in pieces of any size. Out: nothing, or what is wrong with an answer. The library makes room
//! for as many columns as an answer says that it has, takes bytes out of packets that may be empty, and takes whatever comes for the
//! answer to its question: so counts, order and ends are looked at here, before it sees them. Keeps no more than the first
//! bytes of a packet; what is in definitions and rows is the library's.

use std::sync::atomic::{AtomicU8, Ordering};

use mysql_common::constants::{CapabilityFlags, StatusFlags};

use crate::column::bytes::{Bytes, Truncated};

use super::super::packet::{HEAD_BYTES, PIECE_BYTES_MAX};

/// What is looked at of a packet: a byte, two numbers of at most 9 bytes each, the status and a count of warnings.
const START_BYTES: usize = 24;

/// The most columns that a result has (MySQL's `MAX_FIELDS`).
const COLUMNS_MAX: u64 = 4096;

/// Each definition of a column begins with the name of its catalog, which is always this.
const DEFINITION: &[u8] = b"\x03def";

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;
const COM_STMT_CLOSE: u8 = 0x19;

/// No command.
const NOTHING: u8 = 0xff;

/// Why the server's bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("an answer of {0} columns, and MySQL has at most {COLUMNS_MAX}")]
    Columns(u64),
    #[error("something that nobody asked for")]
    Unasked,
    #[error("a request for a file")]
    File,
    #[error("a packet that is none of {0}")]
    Malformed(&'static str),
}

/// The command that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked(AtomicU8);

impl Asked {
    pub fn nothing() -> Asked {
        Asked(AtomicU8::new(NOTHING))
    }

    fn note(&self, command: u8) {
        if !matches!(command, COM_QUIT | COM_STMT_CLOSE | COM_STMT_SEND_LONG_DATA) {
            self.0.store(command, Ordering::Relaxed);
        }
    }

    fn is_anything(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NOTHING
    }

    fn take(&self) -> u8 {
        self.0.swap(NOTHING, Ordering::Relaxed)
    }
}

/// The library's side: every packet of it is a command.
#[derive(Debug, Default)]
pub(super) struct Questions {
    packets: Starts,
}

impl Questions {
    pub fn see(&mut self, piece: &[u8], asked: &Asked) -> Result<(), NoAnswer> {
        self.packets.see(piece, |start, _| {
            if let Some(command) = start.first() {
                asked.note(*command);
            }
            Ok(())
        })
    }
}

/// The server's side.
#[derive(Debug)]
pub(super) struct Answers {
    packets: Starts,
    place: Place,
    /// Whether definitions are not followed by a packet that says so.
    ends_by_count: bool,
}

/// Where in an answer the next packet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before it.
    Head,
    /// Before another result of the same answer.
    NextResult,
    /// So many definitions are still to come.
    Definitions(u64, Behind),
    EndOfDefinitions(Behind),
    Rows,
    /// The server has said why it ends the session.
    Over,
}

/// What follows definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Rows,
    /// Those of a prepared statement's columns, after those of its parameters.
    Columns(u64),
}

impl Answers {
    pub fn new(capabilities: CapabilityFlags) -> Answers {
        let ends_by_count = capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        Answers { packets: Starts::default(), place: Place::Head, ends_by_count }
    }

    /// # Errors
    /// What is wrong with the answer; nothing of this piece is for the library then.
    pub fn see(&mut self, piece: &[u8], asked: &Asked) -> Result<(), NoAnswer> {
        let Answers { packets, place, ends_by_count } = self;
        packets.see(piece, |start, length| {
            *place = place.after(start, length, *ends_by_count, asked)?;
            Ok(())
        })
    }
}

impl Place {
    fn after(self, start: &[u8], length: usize, ends_by_count: bool, asked: &Asked) -> Result<Place, NoAnswer> {
        let first = *start.first().ok_or(NoAnswer::Malformed("the protocol's"))?;
        let is_error = first == 0xff;
        match self {
            Place::Over => Err(NoAnswer::Unasked),
            // The library takes the answer before for ended.
            Place::NextResult | Place::Definitions(..) | Place::EndOfDefinitions(_) | Place::Rows
                if asked.is_anything() =>
            {
                Err(NoAnswer::Unasked)
            }
            Place::Head => match asked.take() {
                // A server that ends an idle session, or all of them, says so.
                NOTHING if is_error => Ok(Place::Over),
                NOTHING => Err(NoAnswer::Unasked),
                _ if is_error => Ok(Place::Head),
                COM_QUERY | COM_STMT_EXECUTE => result(first, start, ends_by_count),
                COM_STMT_PREPARE => prepared(start, ends_by_count),
                _ => Ok(Place::Head),
            },
            _ if is_error => Ok(Place::Head),
            Place::NextResult => result(first, start, ends_by_count),
            Place::Definitions(left, behind) if start.starts_with(DEFINITION) => {
                Ok(definitions(left - 1, behind, ends_by_count))
            }
            Place::Definitions(..) => Err(NoAnswer::Malformed("a column's")),
            Place::EndOfDefinitions(behind) if first == 0xfe && length == 5 => Ok(after_definitions(behind, false)),
            Place::EndOfDefinitions(_) => Err(NoAnswer::Malformed("the end of a list of columns")),
            // A row whose first value is that long begins with the same byte.
            Place::Rows if first == 0xfe && ends_by_count && length < PIECE_BYTES_MAX => end(start, true),
            Place::Rows if first == 0xfe && !ends_by_count && length < 8 => old_end(start),
            Place::Rows => Ok(Place::Rows),
        }
    }
}

/// The first packet of a result: there are no rows, or so many columns.
fn result(first: u8, start: &[u8], ends_by_count: bool) -> Result<Place, NoAnswer> {
    match first {
        0x00 => end(start, false),
        0xfb => Err(NoAnswer::File),
        _ => match Bytes(start).lenenc() {
            Err(_) | Ok(0) => Err(NoAnswer::Malformed("a result's")),
            Ok(columns) if columns > COLUMNS_MAX => Err(NoAnswer::Columns(columns)),
            Ok(columns) => Ok(definitions(columns, Behind::Rows, ends_by_count)),
        },
    }
}

/// A statement's number, and how many columns and parameters it has.
fn prepared(start: &[u8], ends_by_count: bool) -> Result<Place, NoAnswer> {
    let [0, _, _, _, _, low, high, parameters_low, parameters_high, ..] = *start else {
        return Err(NoAnswer::Malformed("a prepared statement's"));
    };
    let columns = u64::from(u16::from_le_bytes([low, high]));
    if columns > COLUMNS_MAX {
        return Err(NoAnswer::Columns(columns));
    }
    let parameters = u64::from(u16::from_le_bytes([parameters_low, parameters_high]));
    Ok(match parameters {
        0 => after_definitions(Behind::Columns(columns), ends_by_count),
        _ => definitions(parameters, Behind::Columns(columns), ends_by_count),
    })
}

fn definitions(left: u64, behind: Behind, ends_by_count: bool) -> Place {
    match left {
        0 if ends_by_count => after_definitions(behind, ends_by_count),
        0 => Place::EndOfDefinitions(behind),
        _ => Place::Definitions(left, behind),
    }
}

fn after_definitions(behind: Behind, ends_by_count: bool) -> Place {
    match behind {
        Behind::Rows => Place::Rows,
        Behind::Columns(0) => Place::Head,
        Behind::Columns(columns) => definitions(columns, Behind::Columns(0), ends_by_count),
    }
}

/// The end of a result, which says whether another one follows.
fn end(start: &[u8], is_behind_rows: bool) -> Result<Place, NoAnswer> {
    let status = |mut bytes: Bytes<'_>| -> Result<u64, Truncated> {
        bytes.u8()?;
        bytes.lenenc()?;
        bytes.lenenc()?;
        let status = bytes.le(2)?;
        bytes.le(2)?;
        Ok(status)
    };
    let wanted = if is_behind_rows { "the end of rows" } else { "a result's" };
    status(Bytes(start)).map(after_result).map_err(|_| NoAnswer::Malformed(wanted))
}

/// The same, as it was said before `CLIENT_DEPRECATE_EOF`: a count of warnings and the status.
fn old_end(start: &[u8]) -> Result<Place, NoAnswer> {
    match start {
        [_, _, _, low, high] => Ok(after_result(u64::from(u16::from_le_bytes([*low, *high])))),
        _ => Err(NoAnswer::Malformed("the end of rows")),
    }
}

fn after_result(status: u64) -> Place {
    let follows = u64::from(StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits());
    if status & follows == 0 { Place::Head } else { Place::NextResult }
}

/// The first bytes of packets.
#[derive(Debug, Default)]
struct Starts {
    /// Of the piece of a packet that is under way, from its head on.
    kept: Vec<u8>,
    /// Bytes that are still to come of a piece whose start was given.
    rest_bytes: usize,
    /// The piece before was as long as pieces can be, so this one belongs to the same packet.
    goes_on: bool,
}

impl Starts {
    /// Gives the start and the length of the first piece of each packet, as soon as the start is there.
    fn see(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8], usize) -> Result<(), NoAnswer>,
    ) -> Result<(), NoAnswer> {
        loop {
            let here = self.rest_bytes.min(bytes.len());
            (self.rest_bytes, bytes) = (self.rest_bytes - here, &bytes[here..]);
            self.keep(&mut bytes, HEAD_BYTES);
            let Some(length) = self.length() else { return Ok(()) };
            let start_bytes = length.min(START_BYTES);
            self.keep(&mut bytes, HEAD_BYTES + start_bytes);
            if self.kept.len() < HEAD_BYTES + start_bytes {
                return Ok(());
            }
            if !std::mem::replace(&mut self.goes_on, length == PIECE_BYTES_MAX) {
                each(&self.kept[HEAD_BYTES..], length)?;
            }
            self.rest_bytes = length - start_bytes;
            self.kept.clear();
        }
    }

    /// Keeps so many bytes in all, if they are there.
    fn keep(&mut self, bytes: &mut &[u8], wanted_bytes: usize) {
        let here = wanted_bytes.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..here]);
        *bytes = &bytes[here..];
    }

    /// That of the piece that is under way.
    fn length(&self) -> Option<usize> {
        let [low, middle, high, _] = *self.kept.first_chunk::<HEAD_BYTES>()?;
        Some(usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORE: u8 = StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits() as u8;
    const DEFINED: &[u8] = b"\x03def\x00\x00";
    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const OLD_END: &[u8] = &[0xfe, 0, 0, 2, 0];
    const END: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];

    fn packet(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_le_bytes()[..3], &[1], body].concat()
    }

    /// A command, and the bytes that it is answered with.
    type Exchange = (u8, Vec<u8>);

    fn to(command: u8, packets: &[&[u8]]) -> Exchange {
        (command, packets.iter().flat_map(|body| packet(body)).collect())
    }

    /// What comes of these exchanges, one after another.
    fn heard(capabilities: CapabilityFlags, exchanges: &[Exchange], piece_bytes: usize) -> Result<(), NoAnswer> {
        let (asked, mut questions, mut answers) = (Asked::nothing(), Questions::default(), Answers::new(capabilities));
        for (command, bytes) in exchanges {
            if *command != NOTHING {
                questions.see(&packet(&[*command, b'x']), &asked)?;
            }
            for piece in bytes.chunks(piece_bytes) {
                answers.see(piece, &asked)?;
            }
        }
        Ok(())
    }

    fn in_pieces_of_any_size(capabilities: CapabilityFlags, exchanges: &[Exchange]) -> Result<(), NoAnswer> {
        let whole = heard(capabilities, exchanges, usize::MAX);
        for piece_bytes in 1..40 {
            assert_eq!(heard(capabilities, exchanges, piece_bytes), whole, "pieces of {piece_bytes} bytes");
        }
        whole
    }

    #[test]
    fn what_servers_answer_is_let_through() {
        let (old, new) = (CapabilityFlags::empty(), CapabilityFlags::CLIENT_DEPRECATE_EOF);
        let error: &[u8] = b"\xff\x15\x04#28000Access denied for some reason or another";
        let more_ok: &[u8] = &[0, 0, 0, 2 | MORE, 0, 0, 0];
        let more_old_end: &[u8] = &[0xfe, 0, 0, 2 | MORE, 0];
        let more_end: &[u8] = &[0xfe, 0, 0, 2 | MORE, 0, 0, 0];
        let wide_row: &[u8] = &[&[0xfe_u8, 0, 0, 0, 1, 0, 0, 0, 0][..], &[b'x'; 300]].concat();
        let prepared: &[u8] = &[0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        let prepared_for_nothing: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (capabilities, exchanges) in [
            (old, vec![to(COM_QUERY, &[OK]), to(COM_QUERY, &[error]), to(0x0e, &[OK])]),
            (
                old,
                vec![
                    to(COM_QUERY, &[&[2], DEFINED, DEFINED, OLD_END, wide_row, b"\x01a\x01b", OLD_END]),
                    to(0x0e, &[OK]),
                ],
            ),
            (
                new,
                vec![
                    to(COM_QUERY, &[&[2], DEFINED, DEFINED, b"\x01a\x01b", END]),
                    to(COM_QUERY, &[&[1], DEFINED, END]),
                ],
            ),
            (old, vec![to(COM_QUERY, &[more_ok, &[1], DEFINED, OLD_END, more_old_end, OK]), to(0x0e, &[OK])]),
            (new, vec![to(COM_QUERY, &[&[1], DEFINED, more_end, more_ok, OK]), to(0x0e, &[OK])]),
            (new, vec![to(COM_QUERY, &[&[1], DEFINED, b"\x01a", error]), to(0x0e, &[OK])]),
            (
                old,
                vec![to(COM_STMT_PREPARE, &[prepared, DEFINED, DEFINED, OLD_END, DEFINED, OLD_END]), to(0x0e, &[OK])],
            ),
            (new, vec![to(COM_STMT_PREPARE, &[prepared, DEFINED, DEFINED, DEFINED]), to(COM_STMT_EXECUTE, &[OK])]),
            (new, vec![to(COM_STMT_PREPARE, &[prepared_for_nothing]), to(COM_STMT_CLOSE, &[]), to(COM_QUERY, &[OK])]),
            (old, vec![to(COM_QUERY, &[OK]), to(NOTHING, &[error])]),
        ] {
            assert_eq!(in_pieces_of_any_size(capabilities, &exchanges), Ok(()), "{exchanges:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let new = CapabilityFlags::CLIENT_DEPRECATE_EOF;
        let more: &[u8] = &[0, 0, 0, 2 | MORE, 0, 0, 0];
        for (exchanges, expected) in [
            (vec![to(COM_QUERY, &[b"\xfc\x01\x10"])], NoAnswer::Columns(4097)),
            (vec![to(COM_STMT_EXECUTE, &[b"\xfd\x00\x00\x01"])], NoAnswer::Columns(1 << 16)),
            (vec![to(COM_QUERY, &[more, b"\xfc\x01\x10"])], NoAnswer::Columns(4097)),
            (vec![to(COM_STMT_PREPARE, &[&[0, 1, 0, 0, 0, 1, 16, 0, 0, 0, 0, 0]])], NoAnswer::Columns(4097)),
            (vec![to(COM_QUERY, &[b"\xfb/a/file"])], NoAnswer::File),
            (vec![to(COM_QUERY, &[b"\xfc\x00\x00"])], NoAnswer::Malformed("a result's")),
            (vec![to(COM_QUERY, &[b"\xfe\x01"])], NoAnswer::Malformed("a result's")),
            (vec![to(COM_QUERY, &[b"\x00\x00\x00\x02\x00"])], NoAnswer::Malformed("a result's")),
            (vec![to(COM_QUERY, &[b""])], NoAnswer::Malformed("the protocol's")),
            (vec![to(COM_QUERY, &[&[1], DEFINED, b""])], NoAnswer::Malformed("the protocol's")),
            (vec![to(COM_QUERY, &[&[1], OK])], NoAnswer::Malformed("a column's")),
            (vec![to(COM_QUERY, &[&[1], DEFINED, b"\xfe\x00"])], NoAnswer::Malformed("the end of rows")),
            (
                vec![to(COM_STMT_PREPARE, &[&[1, 1, 0, 0, 0, 0, 0, 0, 0]])],
                NoAnswer::Malformed("a prepared statement's"),
            ),
            (vec![to(COM_QUERY, &[OK, OK])], NoAnswer::Unasked),
            (vec![to(NOTHING, &[OK])], NoAnswer::Unasked),
            (vec![to(NOTHING, &[b"\xff\x15\x04gone"]), to(COM_QUERY, &[OK])], NoAnswer::Unasked),
            (vec![to(COM_QUERY, &[more]), to(COM_QUERY, &[OK])], NoAnswer::Unasked),
            (vec![to(COM_STMT_CLOSE, &[OK])], NoAnswer::Unasked),
        ] {
            assert_eq!(in_pieces_of_any_size(new, &exchanges), Err(expected), "{exchanges:?}");
        }
        let no_end = vec![to(COM_QUERY, &[&[1], DEFINED, b"\x01a"])];
        let expected = Err(NoAnswer::Malformed("the end of a list of columns"));
        assert_eq!(in_pieces_of_any_size(CapabilityFlags::empty(), &no_end), expected);
    }

    #[test]
    fn a_packet_of_several_pieces_counts_once() {
        let (asked, mut answers) = (Asked::nothing(), Answers::new(CapabilityFlags::CLIENT_DEPRECATE_EOF));
        Questions::default().see(&packet(&[COM_QUERY]), &asked).expect("a question");
        let head: Vec<u8> = [&[1_u8] as &[u8], DEFINED].iter().flat_map(|body| packet(body)).collect();
        let row = [&[0xff, 0xff, 0xff, 3][..], &vec![b'x'; PIECE_BYTES_MAX]].concat();
        for piece in [&head[..], &row, &packet(&[0xfe; 30]), &packet(END)] {
            answers.see(piece, &asked).expect("an answer");
        }
        assert_eq!(answers.place, Place::Head);
    }
}
