//! A change: one row inserted, updated, deleted or read, with the names and values it had in that very transaction; or all
//! rows of a table removed by TRUNCATE, without names and values.
//!
//! In: what the source decoded. Out: the plain data that rules match, templates read, bodies are written from and
//! dead letters keep. Also the identity of a delivery (promise 3), which is a pure function of the change and the
//! rule's name. No I/O, no clock.

use std::fmt;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use uuid::Uuid;

use crate::column::{ColumnKind, Fault};
use crate::position::{FileOffset, Gtid, Within};

pub use crate::column::{Cell, Value};
pub use crate::schema::Table;

pub use changes::{Changes, Images, Rows, Spans};
pub use row::Row;

mod changes;
pub mod json;
pub mod key_text;
mod merge;
pub mod partial;
pub mod row;

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Insert,
    Update,
    Delete,
    /// The row was in the table when a backfill read it.
    Read,
    /// All rows were removed at once. The change has no images, its table no columns, and its ordinal is 0.
    Truncate,
}

impl Op {
    pub const ALL: [Op; 5] = [Op::Insert, Op::Update, Op::Delete, Op::Read, Op::Truncate];

    pub fn as_str(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Read => "read",
            Op::Truncate => "truncate",
        }
    }

    pub fn parse(text: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.as_str() == text)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tag of the GTIDs of transactions that rowhook writes itself, where the server can give one.
pub const OWN_TAG: &str = "rowhook";

/// Where the server can't: the comment at the beginning of the statement's text in the binlog.
pub const OWN_MARKER: &str = "/* rowhook:own */";

/// The transaction a change belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// `@@server_uuid` of the server it was read from.
    pub server_uuid: Uuid,
    pub gtid: Option<Gtid>,
    /// Binlog file and offset at which the transaction begins (its GTID event).
    pub file: Arc<str>,
    pub offset: u64,
    /// Commit time on the server where it was first committed, in microseconds since the Unix epoch.
    pub committed_at_us: u64,
    /// The same if it is in the GTID event, else 0: part of the identity.
    pub original_commit_us: u64,
    /// Whether rowhook wrote it itself; in a transaction of several statements, whether rowhook wrote the change's
    /// statement.
    pub is_own: bool,
}

impl Transaction {
    /// One that no server has written: for tests, fuzz targets and benchmarks, no part of the program.
    #[doc(hidden)]
    pub fn example() -> Transaction {
        Transaction {
            server_uuid: Uuid::nil(),
            gtid: None,
            file: "binlog.000001".into(),
            offset: 4,
            committed_at_us: 0,
            original_commit_us: 0,
            is_own: false,
        }
    }

    /// An identity that is the same on all servers of a replica set with GTIDs, and that no other transaction has: the
    /// [name](Self::name), and after an `@` the time of the first commit, if the log contains it. The first component
    /// of every delivery id.
    pub fn identity(&self) -> String {
        let mut identity = String::new();
        self.spell_identity(|part| identity.push_str(part));
        identity
    }

    /// The GTID, or without one the server and the place in its binlog. After a reset, or from a backup, a server gives
    /// names again that other transactions had. Up to store format 3 it was the identity.
    pub fn name(&self) -> String {
        let mut name = String::new();
        self.spell_name(|part| name.push_str(part));
        name
    }

    fn spell_identity(&self, mut put: impl FnMut(&str)) {
        self.spell_name(&mut put);
        if self.original_commit_us != 0 {
            put("@");
            put(itoa::Buffer::new().format(self.original_commit_us));
        }
    }

    fn spell_name(&self, mut put: impl FnMut(&str)) {
        match &self.gtid {
            Some(gtid) => gtid.spell(put),
            None => {
                put(self.server_uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
                for part in [":", &*self.file, ":", itoa::Buffer::new().format(self.offset)] {
                    put(part);
                }
            }
        }
    }

    /// Whether its GTID has the tag that those of rowhook's own transactions have.
    pub fn has_own_tag(&self) -> bool {
        self.gtid.as_ref().is_some_and(|gtid| gtid.tag.as_str() == OWN_TAG)
    }

    /// Whether these rows belong to it.
    pub fn has_rows(&self, within: &Within) -> bool {
        let name = self.name();
        match within.transaction.strip_prefix(&*name) {
            // The previous form, or a transaction without a time: both have this name, so they can't be distinguished.
            Some("") => true,
            Some(_) => *within.transaction == *self.identity(),
            None => false,
        }
    }

    /// Where it begins.
    pub fn begin(&self) -> FileOffset {
        FileOffset { file: Arc::clone(&self.file), offset: self.offset }
    }

    /// Where it begins, for messages.
    pub fn place(&self) -> String {
        let gtid = self.gtid.as_ref().map(|gtid| format!(" (gtid {gtid})")).unwrap_or_default();
        format!("{}:{}{gtid}", self.file, self.offset)
    }
}

/// One row changed, or all rows of a table removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub op: Op,
    pub table: Arc<Table>,
    pub before: Option<Row>,
    pub after: Option<Row>,
    pub transaction: Arc<Transaction>,
    /// This is the n-th row of this table in its transaction, counted from 1; 0 of TRUNCATE.
    pub ordinal: u64,
}

impl Change {
    /// The image that `row` means in rules: the row as it is now, or as it was before its deletion.
    pub fn row(&self) -> Option<&Row> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// The image that `old` means in rules; none for inserts and reads.
    pub fn old(&self) -> Option<&Row> {
        self.before.as_ref()
    }

    /// The value of a column after the change, or before it where the after image lacks it.
    pub fn latest(&self, column: usize) -> Option<Value> {
        [self.after.as_ref(), self.before.as_ref()].into_iter().flatten().find_map(|row| match row.cell(column) {
            Cell::Value(value) => Some(value),
            Cell::Absent => None,
        })
    }

    /// How the column's values stand in the log; none where that is not known, as of a change that was stored.
    pub fn kind(&self, column: usize) -> Option<&ColumnKind> {
        [&self.after, &self.before].into_iter().flatten().find_map(|row| row.kind(column))
    }

    /// Whether an update gave the column another value. A column that the after image lacks was not changed: the server
    /// leaves unchanged columns out of partial images, never changed ones.
    pub fn column_differs(&self, column: usize) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.differs(after, column),
            _ => false,
        }
    }

    /// Names of the columns to which an update gave another value; none for another op.
    pub fn changed_columns(&self) -> impl Iterator<Item = &str> {
        let columns = self.table.columns.iter().enumerate();
        columns.filter(|(index, _)| self.column_differs(*index)).map(|(_, name)| &**name)
    }

    /// Identity of the delivery that the rule of this name makes of this change: a version 5 UUID (RFC 9562,
    /// section 5.5) over transaction, table, ordinal and rule, so that a receiver can compute it, too.
    pub fn delivery_id(&self, rule: &str) -> DeliveryId {
        DeliveryId::of_name(|hash| {
            self.transaction.spell_identity(|part| hash.update(part));
            self.put_place(rule, hash);
        })
    }

    /// The identity that the delivery had up to store format 3, which left the time of the commit out.
    pub fn former_delivery_id(&self, rule: &str) -> DeliveryId {
        DeliveryId::of_name(|hash| {
            self.transaction.spell_name(|part| hash.update(part));
            self.put_place(rule, hash);
        })
    }

    fn put_place(&self, rule: &str, hash: &mut Sha1) {
        let Table { schema, name, .. } = &*self.table;
        let ordinal = &mut itoa::Buffer::new();
        for part in ["/", &**schema, ".", &**name, "/", ordinal.format(self.ordinal), "/", rule] {
            hash.update(part);
        }
    }

    /// A copy that may be kept: it shares no memory with an event, and every value of it can be read. The fault names table
    /// and column.
    pub fn detach(&self) -> Result<Change, Fault> {
        let image = |row: &Option<Row>| row.as_ref().map(Row::detach).transpose();
        let unreadable = |row::Unreadable { column, fault }: row::Unreadable| {
            let name = self.table.columns.get(column).map_or("?", |name| &**name);
            fault.within(&format!("table {}: column {name}", self.table))
        };
        Ok(Change {
            op: self.op,
            table: Arc::clone(&self.table),
            before: image(&self.before).map_err(unreadable)?,
            after: image(&self.after).map_err(unreadable)?,
            transaction: Arc::clone(&self.transaction),
            ordinal: self.ordinal,
        })
    }

    /// A copy in which `***` stands for the values of these columns.
    pub fn redacted(&self, is_redacted: impl Fn(&str) -> bool) -> Change {
        let image = |row: &Option<Row>| row.as_ref().map(|row| row.redacted(&self.table, &is_redacted));
        Change { before: image(&self.before), after: image(&self.after), ..self.clone() }
    }

    /// The memory that the change takes, exact enough for a window's limit.
    pub fn weight_bytes(&self) -> usize {
        let image = |row: &Option<Row>| row.as_ref().map_or(0, Row::weight_bytes);
        std::mem::size_of::<Change>() + image(&self.before) + image(&self.after)
    }
}

/// The name space of delivery ids; drawn once, never to change.
const DELIVERY_NAMESPACE: Uuid = Uuid::from_u128(0x5b1f_3c0e_7a54_4c1b_9d0e_2f6a_8c43_71d9);

impl DeliveryId {
    /// Identity of a call that carries these deliveries in this order: a version 5 UUID over their ids as text, joined
    /// by commas. The same deliveries give the same identity; others, or others beside them, another.
    pub fn of_all(ids: impl IntoIterator<Item = DeliveryId>) -> DeliveryId {
        DeliveryId::of_name(|hash| {
            for (n, id) in ids.into_iter().enumerate() {
                if n > 0 {
                    hash.update(",");
                }
                hash.update(id.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            }
        })
    }

    /// The version 5 UUID of the name that is put into the hash.
    fn of_name(put: impl FnOnce(&mut Sha1)) -> DeliveryId {
        let mut hash = Sha1::new_with_prefix(DELIVERY_NAMESPACE.as_bytes());
        put(&mut hash);
        let digest: [u8; 20] = hash.finalize().into();
        let first: &[u8; 16] = digest.first_chunk().expect("16 of 20 bytes");
        DeliveryId(uuid::Builder::from_sha1_bytes(*first).into_uuid())
    }

    /// Identity of one action's call among several of this delivery: a version 5 UUID over `ID/PLACE`, or `ID/PLACE/ROUND`
    /// when the action was begun again. `place` is `STEP`, `STEP/undo`, `/on_success` or `/on_failure`.
    pub fn of_action(&self, place: &str, round: u32) -> DeliveryId {
        let name = match round {
            0 => format!("{self}/{place}"),
            round => format!("{self}/{place}/{round}"),
        };
        DeliveryId(Uuid::new_v5(&DELIVERY_NAMESPACE, name.as_bytes()))
    }

    /// Identity of this delivery's call with an edited body: a version 5 UUID over `ID//edit/NUMBER/BODY`, so that no other body ever has it:
    /// another dead letter of the delivery counts its edits from 1 again. No step is named so.
    pub fn of_edit(&self, number: u32, body: &[u8]) -> DeliveryId {
        DeliveryId::of_name(|hash| {
            hash.update(format!("{self}//edit/{number}/"));
            hash.update(body);
        })
    }
}

/// Identity of one delivery, sent as `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub Uuid);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Tag;

    fn change(gtid: Option<Gtid>) -> Change {
        let table =
            Table { schema: "shop".into(), name: "orders".into(), columns: Vec::new(), primary_key: Vec::new() };
        let transaction = Transaction {
            server_uuid: Uuid::from_u128(7),
            gtid,
            file: "binlog.000042".into(),
            offset: 157,
            ..Transaction::example()
        };
        let (table, transaction) = (table.into(), transaction.into());
        Change { op: Op::Insert, table, before: None, after: None, transaction, ordinal: 1234 }
    }

    /// What a receiver computes, from the texts that docs/data-format.md shows.
    fn named(name: &str) -> DeliveryId {
        DeliveryId(Uuid::new_v5(&DELIVERY_NAMESPACE, name.as_bytes()))
    }

    #[test]
    fn a_delivery_id_is_the_version_5_uuid_of_transaction_table_ordinal_and_rule() {
        let (uuid, number) = (Uuid::from_u128(0x3e11_fa47_71ca_11e1_9e33_c80a_a942_9562), u64::MAX);
        for (tag, identity) in [
            (Some(Tag::default()), "3e11fa47-71ca-11e1-9e33-c80aa9429562:18446744073709551615"),
            (
                Some(Tag::parse("nightly").expect("a tag")),
                "3e11fa47-71ca-11e1-9e33-c80aa9429562:nightly:18446744073709551615",
            ),
            (None, "00000000-0000-0000-0000-000000000007:binlog.000042:157"),
        ] {
            let change = change(tag.map(|tag| Gtid { uuid, tag, number }));
            assert_eq!(change.transaction.identity(), identity);
            assert_eq!(change.delivery_id("order-paid"), named(&format!("{identity}/shop.orders/1234/order-paid")));
        }
    }

    #[test]
    fn the_id_of_an_edit_is_the_version_5_uuid_of_the_delivery_id_its_number_and_its_body() {
        let id = DeliveryId(Uuid::from_u128(7));
        for (number, body) in [(1, "{}"), (1, "[]"), (u32::MAX, "{}")] {
            assert_eq!(id.of_edit(number, body.as_bytes()), named(&format!("{id}//edit/{number}/{body}")));
        }
    }

    #[test]
    fn the_id_of_a_call_is_the_version_5_uuid_of_the_ids_in_it() {
        let ids = [1, 2, u128::MAX].map(|number| DeliveryId(Uuid::from_u128(number)));
        for count in 1..=ids.len() {
            let texts: Vec<String> = ids[..count].iter().map(DeliveryId::to_string).collect();
            assert_eq!(DeliveryId::of_all(ids[..count].iter().copied()), named(&texts.join(",")));
        }
    }
}
