//! Codes of binlog events (`enum Log_event_type`) and of their header's flags, from the server's
//! `libs/mysql/binlog/event/binlog_event.h`. Plain numbers instead of the client library's enum, because that lacks types
//! which servers send.

pub(super) const QUERY: u8 = 2;
pub(super) const STOP: u8 = 3;
pub(super) const ROTATE: u8 = 4;
pub(super) const INTVAR: u8 = 5;
pub(super) const APPEND_BLOCK: u8 = 9;
pub(super) const DELETE_FILE: u8 = 11;
pub(super) const RAND: u8 = 13;
pub(super) const USER_VAR: u8 = 14;
pub(super) const FORMAT_DESCRIPTION: u8 = 15;
pub(super) const XID: u8 = 16;
pub(super) const BEGIN_LOAD_QUERY: u8 = 17;
pub(super) const EXECUTE_LOAD_QUERY: u8 = 18;
pub(super) const TABLE_MAP: u8 = 19;
pub(super) const WRITE_ROWS_V1: u8 = 23;
pub(super) const UPDATE_ROWS_V1: u8 = 24;
pub(super) const DELETE_ROWS_V1: u8 = 25;
pub(super) const INCIDENT: u8 = 26;
pub(super) const HEARTBEAT: u8 = 27;
pub(super) const IGNORABLE: u8 = 28;
pub(super) const ROWS_QUERY: u8 = 29;
pub(super) const WRITE_ROWS: u8 = 30;
pub(super) const UPDATE_ROWS: u8 = 31;
pub(super) const DELETE_ROWS: u8 = 32;
pub(super) const GTID: u8 = 33;
pub(super) const ANONYMOUS_GTID: u8 = 34;
pub(super) const PREVIOUS_GTIDS: u8 = 35;
pub(super) const TRANSACTION_CONTEXT: u8 = 36;
pub(super) const VIEW_CHANGE: u8 = 37;
pub(super) const XA_PREPARE: u8 = 38;
pub(super) const PARTIAL_UPDATE_ROWS: u8 = 39;
pub(super) const TRANSACTION_PAYLOAD: u8 = 40;
pub(super) const GTID_TAGGED: u8 = 42;

/// `LOG_EVENT_THREAD_SPECIFIC_F`.
pub(super) const FLAG_THREAD_SPECIFIC: u16 = 0x4;

/// `LOG_EVENT_ARTIFICIAL_F`: made up for the stream, not in the file.
pub(super) const FLAG_ARTIFICIAL: u16 = 0x20;
/// `LOG_EVENT_IGNORABLE_F`: may be skipped by a reader that does not know the type.
pub(super) const FLAG_IGNORABLE: u16 = 0x80;
