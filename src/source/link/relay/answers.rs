//! Checks that the server's bytes are an answer to the client library's command.
//!
//! In: the bytes of both directions, in pieces of any size. Out: nothing, or what is wrong with an answer. The library
//! allocates as many columns as an answer claims to have, reads bytes of packets that may be empty, and takes any
//! packet for the answer to its query. So counts, order and ends are checked here, before the library gets them. Keeps
//! only the first bytes of a packet; the content of definitions and rows is not checked.

use std::sync::atomic::{AtomicU8, Ordering};

use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{CommonOkPacket, OkPacketDeserializer, OkPacketKind, OldEofPacket, ResultSetTerminator};

use crate::column::bytes::Bytes;

use super::super::command::{COM_QUERY, COM_QUIT};
use super::super::packet::{HEAD_BYTES, PIECE_BYTES_MAX};

/// So many bytes of a packet are inspected: more than the end of a result has, with MySQL's longest text there (512
/// bytes).
const START_BYTES: usize = 1 << 10;

/// The most columns that a result may have. A table has 4096 at most, a list of expressions may be longer; of a prepared statement the
/// protocol can't count more.
const COLUMNS_MAX: u64 = u16::MAX as u64;

/// Each definition of a column begins with the name of its catalog, which is always this.
const DEFINITION: &[u8] = b"\x03def";

const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;
const COM_STMT_CLOSE: u8 = 0x19;

/// No command.
const NOTHING: u8 = 0xff;

/// Why the server's bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("an answer of {0} columns, and no more than {COLUMNS_MAX} are taken")]
    Columns(u64),
    #[error("something that was not asked for")]
    Unasked,
    #[error("a request for a file")]
    File,
    #[error("a packet that can't be read as {0}")]
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

/// The library's side: every packet is a command.
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
pub(super) struct AnswerFollower {
    packets: Starts,
    place: AnswerPart,
    /// The capabilities of the session, which decide how packets are read.
    capabilities: CapabilityFlags,
}

/// The state within an answer: which packet comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerPart {
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

impl AnswerFollower {
    pub fn new(capabilities: CapabilityFlags) -> AnswerFollower {
        AnswerFollower { packets: Starts::default(), place: AnswerPart::Head, capabilities }
    }

    /// # Errors
    /// What is wrong with the answer; then the library must not get this piece.
    pub fn see(&mut self, piece: &[u8], asked: &Asked) -> Result<(), NoAnswer> {
        let AnswerFollower { packets, place, capabilities } = self;
        packets.see(piece, |start, length| {
            *place = place.after(start, length, *capabilities, asked)?;
            Ok(())
        })
    }
}

impl AnswerPart {
    fn after(
        self,
        start: &[u8],
        length: usize,
        capabilities: CapabilityFlags,
        asked: &Asked,
    ) -> Result<AnswerPart, NoAnswer> {
        let first = *start.first().ok_or(NoAnswer::Malformed("anything, for it is empty"))?;
        let is_error = first == 0xff;
        // Definitions are not followed by a packet that says so.
        let ends_by_count = capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        match self {
            AnswerPart::Over => Err(NoAnswer::Unasked),
            // For the library the previous answer has ended.
            AnswerPart::NextResult
            | AnswerPart::Definitions(..)
            | AnswerPart::EndOfDefinitions(_)
            | AnswerPart::Rows
                if asked.is_anything() =>
            {
                Err(NoAnswer::Unasked)
            }
            AnswerPart::Head => match asked.take() {
                // A server that ends an idle session, or all sessions, sends this.
                NOTHING if is_error => Ok(AnswerPart::Over),
                NOTHING => Err(NoAnswer::Unasked),
                _ if is_error => Ok(AnswerPart::Head),
                COM_QUERY | COM_STMT_EXECUTE => result(start, length, capabilities),
                COM_STMT_PREPARE => prepared(start, ends_by_count),
                _ => Ok(AnswerPart::Head),
            },
            _ if is_error => Ok(AnswerPart::Head),
            AnswerPart::NextResult => result(start, length, capabilities),
            AnswerPart::Definitions(left, behind) if start.starts_with(DEFINITION) => {
                Ok(definitions(left - 1, behind, ends_by_count))
            }
            AnswerPart::Definitions(..) => Err(NoAnswer::Malformed("the definition of a column")),
            AnswerPart::EndOfDefinitions(behind) if first == 0xfe && length == 5 => {
                Ok(after_definitions(behind, false))
            }
            AnswerPart::EndOfDefinitions(_) => Err(NoAnswer::Malformed("the end of a list of columns")),
            // A row whose first value is that long begins with the same byte.
            AnswerPart::Rows if first == 0xfe && ends_by_count && length < PIECE_BYTES_MAX => {
                end::<ResultSetTerminator>(start, length, capabilities)
            }
            AnswerPart::Rows if first == 0xfe && !ends_by_count && length < 8 => {
                end::<OldEofPacket>(start, length, capabilities)
            }
            AnswerPart::Rows => Ok(AnswerPart::Rows),
        }
    }
}

/// The first packet of a result: there are no rows, or so many columns.
fn result(start: &[u8], length: usize, capabilities: CapabilityFlags) -> Result<AnswerPart, NoAnswer> {
    let ends_by_count = capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
    match start.first() {
        Some(0x00) => end::<CommonOkPacket>(start, length, capabilities),
        Some(0xfb) => Err(NoAnswer::File),
        _ => match Bytes(start).lenenc() {
            Err(_) | Ok(0) => Err(NoAnswer::Malformed("the head of a result")),
            Ok(columns) if columns > COLUMNS_MAX => Err(NoAnswer::Columns(columns)),
            Ok(columns) => Ok(definitions(columns, Behind::Rows, ends_by_count)),
        },
    }
}

/// A statement's number, and how many columns and parameters it has.
fn prepared(start: &[u8], ends_by_count: bool) -> Result<AnswerPart, NoAnswer> {
    let [0, _, _, _, _, low, high, parameters_low, parameters_high, ..] = *start else {
        return Err(NoAnswer::Malformed("the head of a prepared statement"));
    };
    let columns = u64::from(u16::from_le_bytes([low, high]));
    let parameters = u64::from(u16::from_le_bytes([parameters_low, parameters_high]));
    Ok(match parameters {
        0 => after_definitions(Behind::Columns(columns), ends_by_count),
        _ => definitions(parameters, Behind::Columns(columns), ends_by_count),
    })
}

fn definitions(left: u64, behind: Behind, ends_by_count: bool) -> AnswerPart {
    match left {
        0 if ends_by_count => after_definitions(behind, ends_by_count),
        0 => AnswerPart::EndOfDefinitions(behind),
        _ => AnswerPart::Definitions(left, behind),
    }
}

fn after_definitions(behind: Behind, ends_by_count: bool) -> AnswerPart {
    match behind {
        Behind::Rows => AnswerPart::Rows,
        Behind::Columns(0) => AnswerPart::Head,
        Behind::Columns(columns) => definitions(columns, Behind::Columns(0), ends_by_count),
    }
}

/// The end of a result, which says whether another one follows. Read as the library reads it: where the library can't
/// read the end, it uses the flags of the previous end.
fn end<Kind: OkPacketKind>(start: &[u8], length: usize, capabilities: CapabilityFlags) -> Result<AnswerPart, NoAnswer> {
    let read = ParseBuf(start).parse::<OkPacketDeserializer<'_, Kind>>(capabilities);
    let Some(end) = read.ok().filter(|_| length <= START_BYTES) else {
        return Err(NoAnswer::Malformed("the end of a result"));
    };
    let follows = end.into_inner().status_flags().contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS);
    Ok(if follows { AnswerPart::NextResult } else { AnswerPart::Head })
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
        let (asked, mut questions, mut answers) =
            (Asked::nothing(), Questions::default(), AnswerFollower::new(capabilities));
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
    fn answers_of_real_servers_pass() {
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
    fn bytes_that_are_no_answer_are_refused() {
        let new = CapabilityFlags::CLIENT_DEPRECATE_EOF;
        let more: &[u8] = &[0, 0, 0, 2 | MORE, 0, 0, 0];
        for (exchanges, expected) in [
            (vec![to(COM_QUERY, &[b"\xfd\x01\x00\x01"])], NoAnswer::Columns(65_537)),
            (vec![to(COM_STMT_EXECUTE, &[b"\xfd\x00\x00\x01"])], NoAnswer::Columns(65_536)),
            (vec![to(COM_QUERY, &[more, b"\xfd\x01\x00\x01"])], NoAnswer::Columns(65_537)),
            (vec![to(COM_QUERY, &[b"\xfb/a/file"])], NoAnswer::File),
            (vec![to(COM_QUERY, &[b"\xfc\x00\x00"])], NoAnswer::Malformed("the head of a result")),
            (vec![to(COM_QUERY, &[b"\xfe\x01"])], NoAnswer::Malformed("the head of a result")),
            (vec![to(COM_QUERY, &[b"\x00\x00\x00\x02\x00"])], NoAnswer::Malformed("the end of a result")),
            // A status that the library does not know, a text that is longer than its packet, and one that is too long.
            (vec![to(COM_QUERY, &[&[0, 0, 0, 6 | MORE, 0, 0, 0], OK])], NoAnswer::Malformed("the end of a result")),
            (
                vec![to(COM_QUERY, &[&[0, 0, 0, 2 | MORE, 0, 0, 0, 9, b'x'], OK])],
                NoAnswer::Malformed("the end of a result"),
            ),
            (vec![to(COM_QUERY, &[&[0; START_BYTES + 1]])], NoAnswer::Malformed("the end of a result")),
            (vec![to(COM_QUERY, &[b""])], NoAnswer::Malformed("anything, for it is empty")),
            (vec![to(COM_QUERY, &[&[1], DEFINED, b""])], NoAnswer::Malformed("anything, for it is empty")),
            (vec![to(COM_QUERY, &[&[1], OK])], NoAnswer::Malformed("the definition of a column")),
            (vec![to(COM_QUERY, &[&[1], DEFINED, b"\xfe\x00"])], NoAnswer::Malformed("the end of a result")),
            (
                vec![to(COM_STMT_PREPARE, &[&[1, 1, 0, 0, 0, 0, 0, 0, 0]])],
                NoAnswer::Malformed("the head of a prepared statement"),
            ),
            (vec![to(COM_QUERY, &[OK, OK])], NoAnswer::Unasked),
            (vec![to(NOTHING, &[OK])], NoAnswer::Unasked),
            (vec![to(NOTHING, &[b"\xff\x15\x04gone"]), to(COM_QUERY, &[OK])], NoAnswer::Unasked),
            (vec![to(COM_QUERY, &[more]), to(COM_QUERY, &[OK])], NoAnswer::Unasked),
            (vec![to(COM_STMT_CLOSE, &[OK])], NoAnswer::Unasked),
        ] {
            assert_eq!(in_pieces_of_any_size(new, &exchanges), Err(expected), "{exchanges:?}");
        }
        let unknown_status = vec![to(COM_QUERY, &[&[1], DEFINED, OLD_END, &[0xfe, 0, 0, 6 | MORE, 0], OK])];
        let expected = Err(NoAnswer::Malformed("the end of a result"));
        assert_eq!(in_pieces_of_any_size(CapabilityFlags::empty(), &unknown_status), expected);
        let no_end = vec![to(COM_QUERY, &[&[1], DEFINED, b"\x01a"])];
        let expected = Err(NoAnswer::Malformed("the end of a list of columns"));
        assert_eq!(in_pieces_of_any_size(CapabilityFlags::empty(), &no_end), expected);
    }

    #[test]
    fn a_packet_of_several_pieces_counts_once() {
        let (asked, mut answers) = (Asked::nothing(), AnswerFollower::new(CapabilityFlags::CLIENT_DEPRECATE_EOF));
        Questions::default().see(&packet(&[COM_QUERY]), &asked).expect("a question");
        let head: Vec<u8> = [&[1_u8] as &[u8], DEFINED].iter().flat_map(|body| packet(body)).collect();
        let row = [&[0xff, 0xff, 0xff, 3][..], &vec![b'x'; PIECE_BYTES_MAX]].concat();
        for piece in [&head[..], &row, &packet(&[0xfe; 30]), &packet(END)] {
            answers.see(piece, &asked).expect("an answer");
        }
        assert_eq!(answers.place, AnswerPart::Head);
    }
}
