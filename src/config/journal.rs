//! The settings of the journal: whether one is kept, for how long, and how large it may become.
//!
//! In: the flags, their environment, and the `journal` group of the settings file. Out: the settings, checked. A part that is not
//! given has its default, as long as another part or the switch is given.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Deserialize;

use super::{Error, File};

/// How long entries are kept, where nothing is said.
const KEEP_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
const KEEP_MIN: Duration = Duration::from_secs(60);
const KEEP_EXPECTED: &str = "expected a duration of a minute or more, such as 12h or 7d";

const BYTES_MAX_DEFAULT: u64 = 10 << 30;
/// Less holds some hundred thousand entries at most.
const BYTES_MAX_MIN: u64 = 16 << 20;
const MAX_EXPECTED: &str = "expected a size of 16 MiB or more, such as 500 MiB or 10 GiB";

/// `journal` in the settings file.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalGroup {
    keep: Option<String>,
    max: Option<String>,
}

/// Whether what was delivered is kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Journal")]
pub struct JournalArgs {
    /// Keep a journal of deliveries in the data directory, for `deliveries` and `stats`
    #[arg(long, env = "ROWHOOK_JOURNAL", value_parser = FalseyValueParser::new())]
    journal: bool,
    /// Keep its entries for this time; implies --journal [default: 7d]
    #[arg(long, env = "ROWHOOK_JOURNAL_KEEP", value_name = "DURATION")]
    journal_keep: Option<String>,
    /// Keep its file below this size; implies --journal [default: 10 GiB]
    #[arg(long, env = "ROWHOOK_JOURNAL_MAX", value_name = "SIZE")]
    journal_max: Option<String>,
}

/// The journal's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    pub keep: Duration,
    pub bytes_max: u64,
}

impl JournalArgs {
    /// None: no journal is kept.
    ///
    /// # Errors
    /// When a value is malformed or out of its range.
    pub fn resolve(self, file: &File) -> Result<Option<JournalSettings>, Error> {
        let is_given = self.journal || self.journal_keep.is_some() || self.journal_max.is_some();
        if !is_given && file.journal.is_none() {
            return Ok(None);
        }
        let group = file.journal.clone().unwrap_or_default();
        let keep = match (self.journal_keep, group.keep) {
            (Some(text), _) => keep(&text).ok_or_else(|| Error::invalid("journal-keep", &text, KEEP_EXPECTED))?,
            (None, Some(text)) => keep(&text).ok_or_else(|| invalid_in(file, "journal-keep", &text, KEEP_EXPECTED))?,
            (None, None) => KEEP_DEFAULT,
        };
        let bytes_max = match (self.journal_max, group.max) {
            (Some(text), _) => size(&text).ok_or_else(|| Error::invalid("journal-max", &text, MAX_EXPECTED))?,
            (None, Some(text)) => size(&text).ok_or_else(|| invalid_in(file, "journal-max", &text, MAX_EXPECTED))?,
            (None, None) => BYTES_MAX_DEFAULT,
        };
        Ok(Some(JournalSettings { keep, bytes_max }))
    }
}

/// The value is in the group of the settings file.
fn invalid_in(file: &File, name: &'static str, value: &str, expected: &str) -> Error {
    let by = file.given_here(name.replace("journal-", "journal."));
    Error::Invalid { name, value: value.to_owned(), expected: expected.to_owned(), by }
}

fn keep(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|keep| *keep >= KEEP_MIN)
}

/// A number with a unit: `500 MiB`, `10GiB`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let shift = match unit.trim_start() {
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes >= BYTES_MAX_MIN).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        journal: JournalArgs,
    }

    #[track_caller]
    fn check(line: &str, file: &str, expected: Result<Option<(u64, u64)>, &str>) {
        let file = File::parse(&format!("window: 5\n{file}\n")).expect("a settings file");
        let typed: Line = clap::Parser::try_parse_from(line.split(' ')).expect(line);
        let settings = typed.journal.resolve(&file);
        let found = settings.map(|settings| settings.map(|s| (s.keep.as_secs() / 3600, s.bytes_max >> 20)));
        match expected {
            Ok(expected) => assert_eq!(found.expect("sound"), expected, "{line}, {file:?}"),
            Err(part) => assert!(found.expect_err(line).to_string().contains(part), "{line}, {file:?}"),
        }
    }

    #[test]
    fn no_journal_is_kept_unless_a_flag_or_the_file_asks_for_it() {
        check("run", "", Ok(None));
        check("run", "journal:", Ok(None));
        check("run --journal", "", Ok(Some((168, 10_240))));
        check("run", "journal: {}", Ok(Some((168, 10_240))));
        check("run", "journal: {keep: 12h}", Ok(Some((12, 10_240))));
        check("run", "journal: {keep: 7d, max: 500 MiB}", Ok(Some((168, 500))));
        check("run --journal-max 1GiB", "journal: {keep: 12h, max: 500 MiB}", Ok(Some((12, 1024))));
        check("run --journal-keep 2h", "", Ok(Some((2, 10_240))));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        check("run --journal-keep soon", "", Err("--journal-keep soon: expected a duration"));
        check("run --journal-max 10GB", "", Err("--journal-max 10GB: expected a size"));
        check("run", "journal: {max: 1 MiB}", Err("`journal.max: 1 MiB`: expected a size"));
        check("run", "journal: {keep: 1s}", Err("`journal.keep: 1s`: expected a duration"));
        check("run", "journal: {max: 99999999999999999999 TiB}", Err("expected a size"));
    }
}
