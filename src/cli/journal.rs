//! What the commands of the journal share: its file, the names of rules, times and gaps as they are shown.
//!
//! In: the data directory, what was typed, what the journal says. Out: the open journal, lines and records.

use std::path::Path;

use anyhow::{anyhow, bail};
use serde::Serialize;

use super::{output, rule_files};
use crate::admin::no_such_rule_among;
use crate::admin::view::rfc3339;
use crate::journal::{JournalGap, JournalReader, journal_file};

/// The journal in the data directory.
pub(super) fn open(data: &Path) -> anyhow::Result<JournalReader> {
    let journal = JournalReader::open(&journal_file(data))?;
    journal.ok_or_else(|| {
        anyhow!(
            "data directory {} has no journal; to keep one from now on, write `journal: {{keep: 7d, max: 10 GiB}}` into rowhook.yaml, or give \
             --journal to rowhook run",
            data.display()
        )
    })
}

/// Refuses the name of a rule that neither the journal nor the rule files know.
pub(super) fn require_rule(journal: &JournalReader, rule: Option<&str>, files: &Path) -> anyhow::Result<()> {
    let Some(rule) = rule else { return Ok(()) };
    let mut names = journal.rules()?;
    if names.iter().any(|name| name == rule) {
        return Ok(());
    }
    let Ok(loaded) = rule_files::load_without_secrets(files) else {
        bail!(
            "{}; the journal has no delivery of it, and the rule files in {} can't be loaded: --rules names their directory",
            no_such_rule_among(rule, names.iter().map(String::as_str)),
            files.display()
        );
    };
    if loaded.rule(rule).is_some() || loaded.is_disabled(rule) {
        return Ok(());
    }
    names.extend(loaded.rules().iter().map(|rule| rule.name.clone()));
    bail!(no_such_rule_among(rule, names.iter().map(String::as_str)));
}

/// A time of which the journal lacks deliveries, in `--json`.
#[derive(Debug, Serialize)]
pub(super) struct GapView {
    from: String,
    until: String,
    deliveries: Option<u64>,
    reason: String,
}

impl GapView {
    pub(super) fn of(gap: &JournalGap) -> GapView {
        GapView {
            from: rfc3339(gap.from_us),
            until: rfc3339(gap.until_us),
            deliveries: gap.deliveries,
            reason: gap.reason.clone(),
        }
    }
}

/// In UTC, to the second.
pub(super) fn second(at_us: u64) -> String {
    let text = rfc3339(at_us);
    format!("{} {}Z", &text[..10], &text[11..19])
}

pub(super) fn milliseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{} ms", us.div_ceil(1000)),
    }
}

pub(super) fn gap_line(gap: &JournalGap) -> String {
    let missing = match gap.deliveries {
        Some(deliveries) => output::count(deliveries, "delivery not journaled", "deliveries not journaled"),
        None => "the last deliveries before it may be missing".to_string(),
    };
    format!("gap {} to {}: {}; {missing}\n", second(gap.from_us), second(gap.until_us), output::clean(&gap.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-20T23:06:40Z.
    const AT_US: u64 = 1_763_680_000_000_000;

    #[test]
    fn a_gap_says_what_is_missing() {
        let gap = JournalGap { from_us: AT_US, until_us: AT_US, deliveries: Some(1), reason: "x".to_string() };
        let line = "gap 2025-11-20 23:06:40Z to 2025-11-20 23:06:40Z: x; ";
        assert_eq!(gap_line(&gap), format!("{line}1 delivery not journaled\n"));
        assert_eq!(gap_line(&JournalGap { deliveries: Some(2), ..gap }), format!("{line}2 deliveries not journaled\n"));
    }
}
