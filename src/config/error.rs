//! What can be wrong with settings, in one line each that says how to fix it.

use std::path::PathBuf;

/// What is wrong with a setting, and how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read settings file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}{place}: {message}", path.display())]
    Malformed { path: PathBuf, place: String, message: String },
    #[error(
        "no MySQL to follow; give --mysql mysql://user:password@host:3306, set ROWHOOK_MYSQL, or write `mysql:` into rowhook.yaml"
    )]
    NoSource,
    #[error("no table is named; give one or more of {tables}")]
    NoTable { tables: String },
    #[error("there is no terminal to ask on; confirm with --yes")]
    Unconfirmed,
    #[error("--{name} {value}: {expected}")]
    Invalid { name: &'static str, value: String, expected: String },
    #[error("{}: `{key}: {value}`: {expected}", path.display())]
    InvalidInFile { path: PathBuf, key: String, value: String, expected: String },
}
