//! Where reading may begin, as people name it; and how long a server keeps its binlog.
//!
//! In: text from the command line. Out: a place, or what was expected instead. Pure.

use std::time::Duration;

use super::{FileOffset, GtidSet, file_number};

/// Where a first start without a checkpoint begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After the newest transaction of the moment.
    Latest,
    /// With the oldest transaction that the server still has.
    Earliest,
    /// After these transactions.
    After(GtidSet),
    /// At this place, which must be the beginning of a transaction.
    At(FileOffset),
}

/// How long a server keeps its binlog by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Until an operator purges it.
    ForEver,
    /// Counted from the end of each file; a file in use is never purged.
    For(Duration),
}

impl Start {
    /// Reads `latest`, `earliest`, a GTID set, or `binlog.000001:4`. The error says what was expected.
    pub fn parse(text: &str) -> Result<Start, &'static str> {
        match text {
            "latest" => return Ok(Start::Latest),
            "earliest" => return Ok(Start::Earliest),
            _ => {}
        }
        // A GTID set has colons too, but begins with a UUID; a binlog file's name ends in a number after a dot.
        if let Some((file, offset)) = text.rsplit_once(':')
            && file_number(file).is_some()
            && !file.contains(':')
        {
            return match offset.parse() {
                Ok(offset) if offset >= 4 => Ok(Start::At(FileOffset { file: file.into(), offset })),
                _ => Err("the offset must be a number of bytes, 4 or more"),
            };
        }
        match text.parse::<GtidSet>() {
            Ok(set) if !set.is_empty() => Ok(Start::After(set)),
            _ => Err("expected latest, earliest, a GTID set (uuid:1-100), or binlog.000001:4"),
        }
    }
}
