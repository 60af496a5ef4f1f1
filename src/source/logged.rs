//! Whether the server's binlog holds every change of the watched tables.
//!
//! In: a connection and the watched tables. Out: each reason why changes are missing or come late: filters of the binlog, a
//! replica that does not log what it applies, a replica whose replication has stopped. Where the account lacks a
//! privilege to ask, nothing is reported. Errors of replication are reported by their number, because their text may
//! contain row values (promise 8).

use mysql_async::Row;

use crate::pattern::TablePatterns;

use super::connection::Connection;
use super::error::Error;
use super::server::Server;

/// A reason why changes do not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// True: changes are missing. False: some may be missing, or they come late.
    pub is_certain: bool,
    pub what: String,
    pub fix: String,
}

/// One replication channel of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Channel {
    name: String,
    /// `Yes`, `No` or `Connecting`.
    receives: String,
    applies: String,
    receive_error: u32,
    apply_error: u32,
}

impl Channel {
    fn is_active(&self) -> bool {
        self.receives != "No" || self.applies != "No"
    }

    fn is_broken(&self) -> bool {
        self.receives != "Yes" || self.applies != "Yes"
    }
}

/// Everything that keeps changes of these tables out of the binlog, or makes them late.
pub(super) async fn gaps(
    connection: &mut Connection,
    server: &Server,
    tables: &TablePatterns,
) -> Result<Vec<Gap>, Error> {
    let failed = |error| Error::of_client(error, &server.address);
    let (log_do, log_ignore) =
        match status(connection, &["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"]).await.map_err(failed)? {
            Some(rows) => rows
                .first()
                .map(|row| (text(row, &["Binlog_Do_DB"]), text(row, &["Binlog_Ignore_DB"])))
                .unwrap_or_default(),
            None => Default::default(),
        };
    let channels = status(connection, &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"]).await.map_err(failed)?;
    let channels: Vec<Channel> = channels.unwrap_or_default().iter().map(channel).collect();
    let mut gaps = filter_gaps(&schemas(&log_do), &schemas(&log_ignore), tables, server.ignores_case());
    let is_off = |name: &str| server.variables.get(name).is_some_and(|value| value == "OFF");
    let is_on = |name: &str| server.variables.get(name).is_some_and(|value| value == "ON");
    gaps.extend(replica_gap(&channels, is_off("log_replica_updates") || is_off("log_slave_updates")));
    gaps.extend(channel_gaps(&channels, is_on("read_only") || is_on("super_read_only")));
    Ok(gaps)
}

/// An error for a server whose binlog lacks changes for certain; the other reasons are logged as warnings.
pub(super) fn require_logged(gaps: Vec<Gap>) -> Result<(), Error> {
    for Gap { is_certain, what, fix } in gaps {
        if is_certain {
            return Err(Error::Prerequisite { setting: what, fix });
        }
        tracing::warn!(fix, "{what}");
    }
    Ok(())
}

/// The rows of the first statement that the server knows; None where the account may not run it.
async fn status(connection: &mut Connection, statements: &[&str]) -> Result<Option<Vec<Row>>, mysql_async::Error> {
    for statement in statements {
        match connection.query(statement).await {
            Ok(rows) => return Ok(Some(rows)),
            // A syntax error: an older or newer server has another name for it. Else a privilege that the account lacks.
            Err(mysql_async::Error::Server(answer)) if answer.code == 1064 => {}
            Err(mysql_async::Error::Server(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A column by the first of its names that the row has.
fn text(row: &Row, names: &[&str]) -> String {
    names
        .iter()
        .find_map(|name| row.get_opt::<Option<String>, _>(*name))
        .and_then(Result::ok)
        .flatten()
        .unwrap_or_default()
}

fn channel(row: &Row) -> Channel {
    let number = |name: &str| text(row, &[name]).parse().unwrap_or(0);
    Channel {
        name: text(row, &["Channel_Name"]),
        receives: text(row, &["Replica_IO_Running", "Slave_IO_Running"]),
        applies: text(row, &["Replica_SQL_Running", "Slave_SQL_Running"]),
        receive_error: number("Last_IO_Errno"),
        apply_error: number("Last_SQL_Errno"),
    }
}

/// The names of a list that is separated by commas, as the server shows its filters.
fn schemas(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToString::to_string).collect()
}

/// A list of schemas to log decides alone; without one, the list of those that are not logged does.
fn filter_gaps(log_do: &[String], log_ignore: &[String], tables: &TablePatterns, ignores_case: bool) -> Vec<Gap> {
    let same = |name: &str| if ignores_case { name.to_lowercase() } else { name.to_string() };
    let mut gaps = Vec::new();
    for pattern in tables.0.iter().map(ToString::to_string) {
        let schema = same(pattern.split_once('.').map_or(pattern.as_str(), |(schema, _)| schema));
        let is_meant = |name: &String| fits(&schema, &same(name));
        let (filter, is_certain) = if !log_do.is_empty() {
            // A pattern may mean more schemas than the listed ones.
            let is_logged = log_do.iter().any(is_meant);
            if is_logged && !schema.contains('*') {
                continue;
            }
            (format!("binlog_do_db ({})", log_do.join(", ")), !is_logged)
        } else if log_ignore.iter().any(is_meant) {
            (format!("binlog_ignore_db ({})", log_ignore.join(", ")), !schema.contains('*'))
        } else {
            continue;
        };
        let how_many = if is_certain { "no change of" } else { "not every change of" };
        gaps.push(Gap {
            is_certain,
            what: format!("{filter}: {how_many} {pattern} is in the binlog"),
            fix: "take the option from the server's configuration and start it again".to_string(),
        });
    }
    gaps
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|name| {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| fits(rest, &name[at..]))
        }),
    }
}

fn replica_gap(channels: &[Channel], logs_nothing: bool) -> Option<Gap> {
    if !logs_nothing || channels.is_empty() {
        return None;
    }
    let is_certain = channels.iter().any(Channel::is_active);
    Some(Gap {
        is_certain,
        what: "log_replica_updates = OFF: the server is a replica and does not log what it applies, so that changes of its source never come"
            .to_string(),
        fix: "follow its source, or start it with --log-replica-updates=ON".to_string(),
    })
}

fn channel_gaps(channels: &[Channel], is_read_only: bool) -> Vec<Gap> {
    let broken = channels.iter().filter(|channel| channel.is_broken() && (is_read_only || channel.is_active()));
    let gap = |channel: &Channel| {
        let error = |number: u32| if number == 0 { String::new() } else { format!(", error {number}") };
        let Channel { name, receives, applies, receive_error, apply_error } = channel;
        let replica = if is_read_only { "a read-only replica" } else { "a replica" };
        Gap {
            is_certain: false,
            what: format!(
                "the server is {replica} and its channel '{name}' does not work (receiving: {receives}{}; applying: {applies}{}): \
                 changes of its source come late or not at all",
                error(*receive_error),
                error(*apply_error)
            ),
            fix: format!("look at SHOW REPLICA STATUS FOR CHANNEL '{}', and START REPLICA", name.replace('\'', "''")),
        }
    };
    broken.map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::TablePattern;

    fn filtered(log_do: &str, log_ignore: &str, pattern: &str, ignores_case: bool) -> Option<bool> {
        let tables = TablePatterns(vec![TablePattern::parse(pattern).expect("a pattern")]);
        let gaps = filter_gaps(&schemas(log_do), &schemas(log_ignore), &tables, ignores_case);
        assert!(gaps.len() < 2, "{gaps:?}");
        gaps.first().map(|gap| gap.is_certain)
    }

    #[test]
    fn a_filter_that_leaves_out_a_watched_schema_is_found() {
        for (log_do, log_ignore, pattern, expected) in [
            ("", "", "shop.orders", None),
            ("shop", "", "shop.orders", None),
            ("shop,crm", "", "crm.*", None),
            ("crm", "", "shop.orders", Some(true)),
            ("shop", "shop", "shop.orders", None),
            ("shop_1", "", "shop_*.orders", Some(false)),
            ("crm", "", "shop_*.orders", Some(true)),
            ("crm", "", "*.orders", Some(false)),
            ("", "shop", "shop.orders", Some(true)),
            ("", "crm, shop", "shop.*", Some(true)),
            ("", "crm", "shop.orders", None),
            ("", "shop_1", "shop_*.orders", Some(false)),
            ("Shop", "", "shop.orders", Some(true)),
        ] {
            assert_eq!(filtered(log_do, log_ignore, pattern, false), expected, "{log_do} {log_ignore} {pattern}");
        }
        assert_eq!(filtered("Shop", "", "shop.orders", true), None);
    }

    #[test]
    fn a_pattern_fits_as_its_stars_say() {
        for (pattern, name, expected) in
            [("*", "", true), ("a*c", "abbc", true), ("a*c", "ac", true), ("a*c", "acb", false), ("*_é*", "x_éy", true)]
        {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    fn channel_of(receives: &str, applies: &str) -> Channel {
        let (name, receives, applies) = ("main".to_string(), receives.to_string(), applies.to_string());
        Channel { name, receives, applies, receive_error: 2003, apply_error: 0 }
    }

    #[test]
    fn a_replica_that_logs_nothing_is_a_certain_gap_while_it_applies() {
        for (channels, logs_nothing, expected) in [
            (vec![], true, None),
            (vec![channel_of("Yes", "Yes")], false, None),
            (vec![channel_of("Yes", "Yes")], true, Some(true)),
            (vec![channel_of("Connecting", "Yes")], true, Some(true)),
            (vec![channel_of("No", "No")], true, Some(false)),
        ] {
            assert_eq!(replica_gap(&channels, logs_nothing).map(|gap| gap.is_certain), expected, "{channels:?}");
        }
    }

    #[test]
    fn the_error_of_a_replication_channel_is_reported_by_its_number() {
        assert_eq!(channel_gaps(&[channel_of("Yes", "Yes")], true), []);
        // A replica that was made a primary, and whose old channel stands still.
        assert_eq!(channel_gaps(&[channel_of("No", "No")], false), []);
        for (channel, is_read_only) in
            [(channel_of("Connecting", "Yes"), false), (channel_of("Yes", "No"), false), (channel_of("No", "No"), true)]
        {
            let gaps = channel_gaps(std::slice::from_ref(&channel), is_read_only);
            assert!(gaps[0].what.contains("error 2003") && !gaps[0].is_certain, "{gaps:?}");
        }
    }
}
