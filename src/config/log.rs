//! The settings of the log: level and form, and which lines deliveries get.
//!
//! In: the flags, their environment, and the settings file. Out: the settings, checked. Names of rows (their keys) are logged only where
//! that is asked for (promise 8).

use std::num::NonZeroU64;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::{Error, File};

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings and log")]
pub struct LogArgs {
    /// Log level (error, warn, info, debug, trace), or filters such as `info,rowhook::source=debug`
    #[arg(long, env = "ROWHOOK_LOG", value_name = "LEVEL", global = true)]
    log: Option<String>,
    /// Form of the log on stderr [default: text]
    #[arg(long, env = "ROWHOOK_LOG_FORMAT", value_enum, value_name = "FORM", global = true)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object on each line
    Json,
    /// Text on a terminal, JSON elsewhere
    Auto,
}

/// The log's settings, checked.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// None: the default of the command.
    pub filter: Option<String>,
    pub format: LogFormat,
}

/// What is logged of deliveries.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings and log")]
pub struct DeliveryLogArgs {
    /// INFO lines of deliveries: all, none, or one in so many such as 1/100; those that needed a retry always but for none [default: all]
    #[arg(long, env = "ROWHOOK_LOG_DELIVERIES", value_name = "HOW MANY")]
    log_deliveries: Option<String>,
    /// Name the row's primary key in these lines: it is data
    #[arg(long, env = "ROWHOOK_LOG_KEYS", value_parser = FalseyValueParser::new())]
    log_keys: bool,
}

/// What is logged of deliveries, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryLogSettings {
    /// Of so many one; None: of none.
    pub one_in: Option<NonZeroU64>,
    /// With the primary keys of rows.
    pub with_keys: bool,
}

impl Default for DeliveryLogSettings {
    fn default() -> DeliveryLogSettings {
        DeliveryLogSettings { one_in: Some(NonZeroU64::MIN), with_keys: false }
    }
}

impl LogArgs {
    pub fn resolve(self, file: &File) -> Result<LogSettings, Error> {
        let read = |text: String| {
            LogFormat::from_str(&text, false)
                .map_err(|_| Error::invalid("log-format", &text, "expected text, json or auto"))
        };
        let format = match self.log_format {
            Some(format) => format,
            None => file.log_format.clone().map_or(Ok(LogFormat::Text), read)?,
        };
        Ok(LogSettings { filter: self.log.or_else(|| file.log.clone()), format })
    }
}

impl DeliveryLogArgs {
    /// # Errors
    /// When the share is none.
    pub fn resolve(self, file: &File) -> Result<DeliveryLogSettings, Error> {
        let expected = "expected all, none, or one in so many, such as 1/100";
        let share = self.log_deliveries.or_else(|| file.log_deliveries.clone()).unwrap_or_else(|| "all".to_owned());
        let one_in = one_in(&share).ok_or_else(|| Error::invalid("log-deliveries", &share, expected))?;
        Ok(DeliveryLogSettings { one_in, with_keys: self.log_keys || file.log_keys.unwrap_or(false) })
    }
}

/// `all`, `none` or `1/100`; the outer None: it is none of them.
fn one_in(text: &str) -> Option<Option<NonZeroU64>> {
    match text {
        "all" => Some(Some(NonZeroU64::MIN)),
        "none" => Some(None),
        _ => text.strip_prefix("1/")?.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_logged_all_or_none_or_one_in_so_many() {
        for (text, expected) in [("all", Some(1)), ("none", None), ("1/100", Some(100)), ("1/1", Some(1))] {
            assert_eq!(one_in(text), Some(expected.and_then(NonZeroU64::new)), "{text}");
        }
        for wrong in ["1/0", "2/3", "1/", "1/-1", "some", "", "1/many", "100"] {
            assert_eq!(one_in(wrong), None, "{wrong}");
        }
        let file = File::parse("log_deliveries: 1/50\nlog_keys: true\n").expect("a settings file");
        let settings = DeliveryLogArgs { log_deliveries: None, log_keys: false }.resolve(&file).expect("sound");
        assert_eq!(settings, DeliveryLogSettings { one_in: NonZeroU64::new(50), with_keys: true });
        let none = DeliveryLogArgs { log_deliveries: None, log_keys: false }.resolve(&File::default()).expect("sound");
        assert_eq!(none, DeliveryLogSettings::default());
    }
}
