//! The QUERY event: a statement as text, and the session that ran it.
//!
//! In: the body of the event. Out: [`Query`], which borrows from it. Format: `Query_event` in
//! `libs/mysql/binlog/event/statement_events.h`. Text and names are bytes in whatever character set the session had; does
//! not judge the statement.

use super::BinlogEvent;
use crate::column::bytes::{Bytes, Truncated};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::source) struct Query<'a> {
    /// The session's default schema; empty when it had none.
    pub schema: &'a [u8],
    pub text: &'a [u8],
    /// `@@sql_mode` as the server's bits.
    pub sql_mode: Option<u64>,
    /// The collation id of `@@character_set_client`, the character set of `text`.
    pub charset_client: Option<u16>,
    /// `@@collation_connection`: texts are converted to its character set before anything else.
    pub charset_connection: Option<u16>,
    /// The definition was carried out in a transaction of the server's own dictionary (`Q_DDL_LOGGED_WITH_XID`). Measured with
    /// 9.7.4: `CREATE TABLE IF NOT EXISTS` of a table that was there has no such transaction.
    pub has_changed_dictionary: bool,
    /// A temporary table is among its tables (`LOG_EVENT_THREAD_SPECIFIC_F`); each DROP of tables says so, too.
    pub is_of_session: bool,
    /// The schemas that it writes to; none when the event does not say, or there are too many to name.
    pub updated_schemas: Option<Vec<&'a [u8]>>,
}

/// Stands for the count of schemas when they are too many to be named (`OVER_MAX_DBS_IN_EVENT_MTS`).
const TOO_MANY_SCHEMAS: u8 = 254;

impl<'a> Query<'a> {
    /// With what the head of the event says.
    pub fn of(event: &'a BinlogEvent) -> Result<Query<'a>, Truncated> {
        Ok(Query { is_of_session: event.is_of_session(), ..Query::parse(&event.body)? })
    }

    pub fn parse(body: &'a [u8]) -> Result<Query<'a>, Truncated> {
        Query::parse_with(body, 0)
    }

    /// Of EXECUTE_LOAD_QUERY: the same after more fixed fields, which name the file and its place in the text
    /// (`Execute_load_query_event`).
    pub fn of_load(event: &'a BinlogEvent) -> Result<Query<'a>, Truncated> {
        Ok(Query { is_of_session: event.is_of_session(), ..Query::parse_with(&event.body, 13)? })
    }

    fn parse_with(body: &'a [u8], more_fixed_bytes: usize) -> Result<Query<'a>, Truncated> {
        let mut bytes = Bytes(body);
        bytes.take(8)?;
        let schema_bytes = usize::from(bytes.u8()?);
        bytes.take(2)?;
        let variables_bytes = bytes.le(2)? as usize;
        bytes.take(more_fixed_bytes)?;
        let variables = Bytes(bytes.take(variables_bytes)?);
        let schema = bytes.take(schema_bytes)?;
        bytes.take(1)?;
        let mut query = Query { schema, text: bytes.0, ..Query::default() };
        query.read_variables(variables)?;
        Ok(query)
    }

    /// Status variables: each after its code, in ascending order. An unknown one ends the list, because its length is not
    /// known; the server's own replicas do the same.
    fn read_variables(&mut self, mut bytes: Bytes<'a>) -> Result<(), Truncated> {
        while !bytes.is_empty() {
            match bytes.u8()? {
                // Q_SQL_MODE_CODE
                1 => self.sql_mode = Some(bytes.le(8)?),
                // Q_CATALOG_CODE, with a zero at its end
                2 => {
                    let length = usize::from(bytes.u8()?);
                    bytes.take(length + 1)?;
                }
                // Q_CHARSET_CODE: client, connection, server
                4 => {
                    self.charset_client = Some(bytes.le(2)? as u16);
                    self.charset_connection = Some(bytes.le(2)? as u16);
                    bytes.take(2)?;
                }
                // Q_TIME_ZONE_CODE, Q_CATALOG_NZ_CODE
                5 | 6 => skip_text(&mut bytes)?,
                // Q_INVOKER: user and host
                11 => {
                    skip_text(&mut bytes)?;
                    skip_text(&mut bytes)?;
                }
                // Q_DDL_LOGGED_WITH_XID
                17 => {
                    bytes.take(8)?;
                    self.has_changed_dictionary = true;
                }
                // Q_UPDATED_DB_NAMES
                12 => self.updated_schemas = schemas(&mut bytes)?,
                code => match fixed_length(code) {
                    Some(length) => {
                        bytes.take(length)?;
                    }
                    None => break,
                },
            }
        }
        Ok(())
    }
}

/// Bytes of the other status variables.
fn fixed_length(code: u8) -> Option<usize> {
    Some(match code {
        // Flags, increment and offset of AUTO_INCREMENT, bytes written by the source.
        0 | 3 | 10 => 4,
        // Names of months, collation of the schema, default collation of utf8mb4.
        7 | 8 | 18 => 2,
        // Tables of a multi-table update.
        9 => 8,
        // Microseconds.
        13 => 3,
        // Defaults for timestamps, primary keys required, encryption.
        16 | 19 | 20 => 1,
        _ => return None,
    })
}

fn skip_text(bytes: &mut Bytes<'_>) -> Result<(), Truncated> {
    let length = usize::from(bytes.u8()?);
    bytes.take(length).map(drop)
}

fn schemas<'a>(bytes: &mut Bytes<'a>) -> Result<Option<Vec<&'a [u8]>>, Truncated> {
    let count = bytes.u8()?;
    if count == TOO_MANY_SCHEMAS {
        return Ok(None);
    }
    let mut schemas = Vec::new();
    for _ in 0..count {
        let length = bytes.0.iter().position(|byte| *byte == 0).ok_or(Truncated)?;
        schemas.push(bytes.take(length)?);
        bytes.take(1)?;
    }
    Ok(Some(schemas))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(variables: &[u8]) -> Vec<u8> {
        let mut body = vec![9, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, variables.len() as u8, 0];
        body.extend(variables);
        body.extend(b"shop\0DROP TABLE t");
        body
    }

    #[test]
    fn a_statement_comes_with_what_its_text_depends_on() {
        let mut variables = vec![0, 0, 0, 0, 0, 1];
        variables.extend(0x1234_u64.to_le_bytes());
        variables.extend(b"\x06\x03std\x04\x08\x00\x21\x00\xff\x00\x05\x06SYSTEM\x0c\x02a\0bc\0\x11");
        variables.extend([0; 8]);
        let bytes = body(&variables);
        let query = Query::parse(&bytes).expect("a query");
        assert_eq!((query.schema, query.text), (&b"shop"[..], &b"DROP TABLE t"[..]));
        assert_eq!((query.sql_mode, query.charset_client), (Some(0x1234), Some(8)));
        assert_eq!(query.updated_schemas, Some(vec![&b"a"[..], &b"bc"[..]]));
    }

    #[test]
    fn an_unknown_variable_ends_the_list_and_a_truncated_one_is_an_error() {
        let bytes = body(&[99, 1, 2, 3]);
        assert_eq!(Query::parse(&bytes).expect("a query").sql_mode, None);
        Query::parse(&body(&[1, 0, 0])).expect_err("a truncated sql_mode");
        Query::parse(&body(&[12, 2, b'a', 0])).expect_err("a schema missing");
        let bytes = body(&[12, TOO_MANY_SCHEMAS, 16, 0]);
        assert_eq!(Query::parse(&bytes).expect("a query").updated_schemas, None);
    }
}
