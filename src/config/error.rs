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
    #[error("{}: {expected}", by.with_value(name, value))]
    Invalid { name: &'static str, value: String, expected: String, by: GivenBy },
}

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenBy {
    Flag,
    Variable,
    /// In the settings file: `path:line`, where the line is known, under this key.
    File {
        place: String,
        key: String,
    },
}

impl GivenBy {
    /// The setting as it was written there. `name` is that of the flag.
    fn with_value(&self, name: &str, value: &str) -> String {
        match self {
            GivenBy::Flag => format!("--{name} {value}"),
            GivenBy::Variable => format!("{}={value}", GivenBy::variable(name)),
            GivenBy::File { place, key } => format!("{place}: `{key}: {value}`"),
        }
    }

    /// The environment variable of a flag.
    pub fn variable(name: &str) -> String {
        format!("ROWHOOK_{}", key(name).to_uppercase())
    }

    /// Where the setting is, for the end of a message about it; empty for a flag, which was typed.
    pub fn place(&self, name: &str) -> String {
        match self {
            GivenBy::Flag => String::new(),
            GivenBy::Variable => format!(" (in {})", GivenBy::variable(name)),
            GivenBy::File { place, .. } => format!(" (in {place})"),
        }
    }
}

/// The key of a flag in the settings file.
pub(super) fn key(name: &str) -> String {
    name.replace('-', "_")
}

impl Error {
    /// The error of a value, as if it was typed.
    pub fn invalid(name: &'static str, value: &str, expected: &str) -> Error {
        Error::Invalid { name, value: value.to_owned(), expected: expected.to_owned(), by: GivenBy::Flag }
    }

    /// With the place where the value was given.
    pub fn located(self, given_by: impl Fn(&str) -> GivenBy) -> Error {
        match self {
            Error::Invalid { name, value, expected, by: GivenBy::Flag } => {
                Error::Invalid { name, value, expected, by: given_by(name) }
            }
            other => other,
        }
    }
}
