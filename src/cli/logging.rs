//! The log on stderr.
//!
//! In: a level or filters, a form. Out: lines with time, level, message and fields, coloured only on a terminal. Libraries
//! log only warnings and errors unless they are named: their other messages do not help an operator.

mod lines;
mod text;

use std::io::{self, IsTerminal as _};

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::output;
use crate::config::{Error, LogFormat, LogSettings};

pub(super) use lines::LastLines;

/// Starts logging for the whole process; dropping the result writes the last lines. A level alone applies to rowhook;
/// filters are used as they are.
pub(super) fn start(settings: &LogSettings, default: &str) -> anyhow::Result<LastLines> {
    let text = settings.filter.as_deref().unwrap_or(default);
    let filter = filter(text).map_err(|problem| {
        let expected = format!("{problem}; expected a level such as debug, or filters such as rowhook::source=debug");
        Error::invalid("log", text, &expected)
    })?;
    let last_lines = lines::start().map_err(|error| anyhow!("cannot start threads: {error}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines::Gathering)
        .with_target(false)
        .with_ansi(output::is_coloured(&io::stderr()));
    let is_json = match settings.format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    if is_json {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    } else {
        log.with_timer(text::UtcTime).fmt_fields(text::EscapedFields).init();
    }
    Ok(last_lines)
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    let filters = match text.parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::WARN => format!("warn,rowhook={level}"),
        Ok(level) => level.to_string(),
        Err(_) => text.to_string(),
    };
    EnvFilter::try_new(filters).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_rowhooks_own_and_filters_stay_as_they_are() {
        for (text, expected) in [
            ("info", "rowhook=info,warn"),
            ("DEBUG", "rowhook=debug,warn"),
            ("error", "error"),
            ("off", "off"),
            ("info,rowhook::source=trace", "rowhook::source=trace,info"),
        ] {
            assert_eq!(filter(text).expect(text).to_string(), expected);
        }
        filter("info,=x=y").expect_err("not a filter");
    }
}
