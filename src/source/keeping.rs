//! How long the server keeps its binlog.
//!
//! In: the server's variables; on Amazon RDS and Aurora a table of theirs, which decides there instead of the
//! variables. Out: [`Keeping`], for the runway and for `rowhook check`. Where the account may not read the table, the
//! time is unknown.

use std::collections::HashMap;
use std::time::Duration;

use crate::position::Retention;

use super::connection::Connection;
use super::error::Error;
use super::platform::Platform;

/// ER_NO_SUCH_TABLE, ER_BAD_DB_ERROR: the server is not Amazon's.
const NO_SUCH_TABLE: [u16; 2] = [1146, 1049];

const RDS_HOURS_SQL: &str = "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";

/// What decides when the server purges its binlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Variables(Retention),
    /// `binlog retention hours` of RDS; none: it purges a file as soon as it is closed.
    Rds(Option<Duration>),
    /// RDS, which does not let the account see the hours.
    HiddenRds,
    Unknown,
}

impl Keeping {
    pub async fn inspect(
        connection: &mut Connection,
        address: &str,
        variables: &HashMap<String, String>,
        platform: Platform,
    ) -> Result<Keeping, Error> {
        match connection.query_first::<Option<String>>(RDS_HOURS_SQL).await {
            Ok(Some(hours)) => return Ok(Keeping::Rds(hours.as_deref().and_then(of_hours))),
            Ok(None) => return Ok(Keeping::Rds(None)),
            Err(mysql_async::Error::Server(answer)) => {
                // Without the right to read a table, the server does not say whether it exists.
                if !NO_SUCH_TABLE.contains(&answer.code) && platform == Platform::Amazon {
                    return Ok(Keeping::HiddenRds);
                }
            }
            Err(error) => return Err(Error::of_client(error, address)),
        }
        let value = |name: &str| variables.get(name).map(String::as_str);
        let kept = of_variables(value("binlog_expire_logs_seconds"), value("binlog_expire_logs_auto_purge"));
        Ok(kept.map_or(Keeping::Unknown, Keeping::Variables))
    }

    /// None where it is not known.
    pub fn retention(self) -> Option<Retention> {
        match self {
            Keeping::Variables(retention) => Some(retention),
            Keeping::Rds(time) => Some(Retention::For(time.unwrap_or_default())),
            Keeping::HiddenRds | Keeping::Unknown => None,
        }
    }
}

/// 0 means the same as NULL.
fn of_hours(text: &str) -> Option<Duration> {
    let hours: u64 = text.trim().parse().ok().filter(|hours| *hours > 0)?;
    Some(Duration::from_secs(hours.saturating_mul(3600)))
}

/// None where the server does not say.
fn of_variables(seconds: Option<&str>, auto_purge: Option<&str>) -> Option<Retention> {
    let seconds: u64 = seconds?.parse().ok()?;
    let is_for_ever = seconds == 0 || auto_purge == Some("OFF");
    Some(if is_for_ever { Retention::ForEver } else { Retention::For(Duration::from_secs(seconds)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_say_how_long_binlogs_are_kept() {
        for (seconds, auto_purge, expected) in [
            (Some("2592000"), Some("ON"), Some(Retention::For(Duration::from_secs(2_592_000)))),
            (Some("60"), None, Some(Retention::For(Duration::from_secs(60)))),
            (Some("0"), Some("ON"), Some(Retention::ForEver)),
            (Some("60"), Some("OFF"), Some(Retention::ForEver)),
            (None, Some("ON"), None),
        ] {
            assert_eq!(of_variables(seconds, auto_purge), expected, "{seconds:?} {auto_purge:?}");
        }
    }

    #[test]
    fn the_retention_hours_of_rds_are_a_time_or_none() {
        let hours = |text| of_hours(text).map(|time| time.as_secs() / 3600);
        for (text, expected) in
            [("168", Some(168)), (" 24 ", Some(24)), ("0", None), ("", None), ("NULL", None), ("-1", None)]
        {
            assert_eq!(hours(text), expected, "{text}");
        }
        assert_eq!(Keeping::Rds(None).retention(), Some(Retention::For(Duration::ZERO)));
        assert_eq!(Keeping::HiddenRds.retention(), None);
    }
}
