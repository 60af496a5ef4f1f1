//! The columns of the compared tables.
//!
//! What a peer cannot read is left out here or stands in the second table, with the reason beside it; what it reads in
//! another form is said in the peer's own file.

pub struct Column {
    pub name: &'static str,
    /// As in CREATE TABLE.
    pub sql: &'static str,
    pub kind: Kind,
}

/// What a peer needs to be told, because its values do not say it.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Int {
        bits: u32,
        unsigned: bool,
    },
    Year,
    Decimal {
        precision: usize,
        scale: usize,
        unsigned: bool,
    },
    Float,
    Double,
    Bit {
        bits: u32,
    },
    Date,
    DateTime {
        digits: usize,
    },
    Timestamp {
        digits: usize,
    },
    Time {
        digits: usize,
        negative: bool,
    },
    Text {
        charset: Charset,
        chars_max: usize,
    },
    Bytes {
        bytes_max: usize,
    },
    /// BINARY(n).
    Padded {
        bytes: usize,
    },
    Enum(&'static [&'static str]),
    Set(&'static [&'static str]),
    Json {
        with_sql_values: bool,
    },
    Vector {
        numbers: usize,
    },
}

#[derive(Clone, Copy, PartialEq)]
pub enum Charset {
    Ascii,
    Utf8,
    Latin1,
    Utf16,
    Utf32,
}

const fn int(name: &'static str, sql: &'static str, bits: u32, unsigned: bool) -> Column {
    Column { name, sql, kind: Kind::Int { bits, unsigned } }
}

const fn decimal(name: &'static str, sql: &'static str, precision: usize, scale: usize, unsigned: bool) -> Column {
    Column { name, sql, kind: Kind::Decimal { precision, scale, unsigned } }
}

const fn text(name: &'static str, sql: &'static str, charset: Charset, chars_max: usize) -> Column {
    Column { name, sql, kind: Kind::Text { charset, chars_max } }
}

const fn column(name: &'static str, sql: &'static str, kind: Kind) -> Column {
    Column { name, sql, kind }
}

/// Types that both peers read.
pub const BOTH: &[Column] = &[
    int("id", "BIGINT UNSIGNED NOT NULL PRIMARY KEY", 64, true),
    int("ti", "TINYINT", 8, false),
    int("tu", "TINYINT UNSIGNED", 8, true),
    int("si", "SMALLINT", 16, false),
    int("su", "SMALLINT UNSIGNED", 16, true),
    column("y", "YEAR", Kind::Year),
    int("mi", "MEDIUMINT", 24, false),
    int("mu", "MEDIUMINT UNSIGNED", 24, true),
    int("i", "INT", 32, false),
    int("iu", "INT UNSIGNED", 32, true),
    int("bi", "BIGINT", 64, false),
    int("bu", "BIGINT UNSIGNED", 64, true),
    decimal("d65", "DECIMAL(65,30)", 65, 30, false),
    decimal("d5", "DECIMAL(5,5)", 5, 5, false),
    decimal("d1", "DECIMAL(1,0)", 1, 0, false),
    decimal("d12", "DECIMAL(12,2)", 12, 2, false),
    decimal("d18", "DECIMAL(18,9)", 18, 9, false),
    decimal("d38", "DECIMAL(38,0)", 38, 0, false),
    decimal("du", "DECIMAL(9,3) UNSIGNED", 9, 3, true),
    column("f", "FLOAT", Kind::Float),
    column("db", "DOUBLE", Kind::Double),
    column("b1", "BIT(1)", Kind::Bit { bits: 1 }),
    column("b9", "BIT(9)", Kind::Bit { bits: 9 }),
    column("b64", "BIT(64)", Kind::Bit { bits: 64 }),
    column("da", "DATE", Kind::Date),
    column("dt0", "DATETIME", Kind::DateTime { digits: 0 }),
    column("dt1", "DATETIME(1)", Kind::DateTime { digits: 1 }),
    column("dt6", "DATETIME(6)", Kind::DateTime { digits: 6 }),
    column("ts0", "TIMESTAMP NULL", Kind::Timestamp { digits: 0 }),
    column("ts2", "TIMESTAMP(2) NULL", Kind::Timestamp { digits: 2 }),
    column("ts6", "TIMESTAMP(6) NULL", Kind::Timestamp { digits: 6 }),
    column("t0", "TIME", Kind::Time { digits: 0, negative: false }),
    column("t1", "TIME(1)", Kind::Time { digits: 1, negative: false }),
    column("t2", "TIME(2)", Kind::Time { digits: 2, negative: false }),
    column("t6", "TIME(6)", Kind::Time { digits: 6, negative: false }),
    text("c", "CHAR(10)", Charset::Utf8, 10),
    text("c255", "CHAR(255)", Charset::Utf8, 255),
    text("vc", "VARCHAR(40)", Charset::Utf8, 40),
    text("vcl", "VARCHAR(300)", Charset::Utf8, 300),
    text("asc", "VARCHAR(20) CHARACTER SET ascii", Charset::Ascii, 20),
    text("tx", "TEXT", Charset::Utf8, 400),
    text("tt", "TINYTEXT", Charset::Utf8, 60),
    column("bl", "BLOB", Kind::Bytes { bytes_max: 300 }),
    column("e", "ENUM('a','b','it''s, x','é')", Kind::Enum(&["a", "b", "it's, x", "é"])),
    column("s", "SET('p','q','r','é')", Kind::Set(&["p", "q", "r", "é"])),
    column("j", "JSON", Kind::Json { with_sql_values: false }),
];

/// Types that mysql_cdc ends at: bytes and texts that are no UTF-8, negative TIME, VECTOR.
///
/// TIME(1) and TIME(2) are missing here: mysql_common panics on negative ones when overflows are checked for.
pub const MYSQL_COMMON_ALONE: &[Column] = &[
    int("id", "BIGINT UNSIGNED NOT NULL PRIMARY KEY", 64, true),
    column("t0", "TIME", Kind::Time { digits: 0, negative: true }),
    column("t3", "TIME(3)", Kind::Time { digits: 3, negative: true }),
    column("t4", "TIME(4)", Kind::Time { digits: 4, negative: true }),
    column("t5", "TIME(5)", Kind::Time { digits: 5, negative: true }),
    column("t6", "TIME(6)", Kind::Time { digits: 6, negative: true }),
    text("l1", "VARCHAR(40) CHARACTER SET latin1", Charset::Latin1, 40),
    text("l1c", "CHAR(40) CHARACTER SET latin1", Charset::Latin1, 40),
    column("v", "VECTOR(3)", Kind::Vector { numbers: 3 }),
    text("right", "VARCHAR(40) CHARACTER SET latin1", Charset::Latin1, 40),
    text("u16", "VARCHAR(40) CHARACTER SET utf16", Charset::Utf16, 40),
    text("u32", "CHAR(40) CHARACTER SET utf32", Charset::Utf32, 40),
    column("bin4", "BINARY(4)", Kind::Padded { bytes: 4 }),
    column("bin16", "BINARY(16)", Kind::Padded { bytes: 16 }),
    column("vb", "VARBINARY(20)", Kind::Bytes { bytes_max: 20 }),
    column("vbl", "VARBINARY(300)", Kind::Bytes { bytes_max: 300 }),
    column("mb", "MEDIUMBLOB", Kind::Bytes { bytes_max: 900 }),
    column("el", "ENUM('é','x') CHARACTER SET latin1", Kind::Enum(&["é", "x"])),
    column("sl", "SET('é','x') CHARACTER SET latin1", Kind::Set(&["é", "x"])),
    column("j", "JSON", Kind::Json { with_sql_values: true }),
];
