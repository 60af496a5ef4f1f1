//! The column types that random tables are made of: a new one is a new line.
//!
//! In: nothing. Out: for each type its SQL, how values for it are drawn, and how the server is asked for the JSON form that
//! docs/data-format.md gives a value: by an SQL expression over the column `{}`, and for numbers that SQL prints otherwise
//! by the `Answer` that turns its text into that form. So what the source made of the bytes is compared with the server.

/// One column type.
#[derive(Debug)]
pub struct Type {
    pub sql: &'static str,
    pub values: Values,
    /// What to select; gives NULL for NULL.
    pub select: &'static str,
    pub answer: Answer,
}

/// How a value is drawn.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    Int(i128, i128),
    /// Precision and scale.
    Decimal(u32, u32),
    Float,
    Double,
    Bits(u32),
    /// Up to so many letters out of these.
    Text(&'static str, usize),
    Bytes(usize),
    OneOf(&'static [&'static str]),
    Date,
    /// The number of fraction digits; so for the next two.
    DateTime(usize),
    Timestamp(usize),
    Time(usize),
    Json,
    Vector(usize),
    /// With this SRID; coordinates of few digits, which MySQL and Rust print alike.
    Geometry(u32),
}

/// How the text that the server answered with becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    Json,
    /// A JSON document with MySQL's white space.
    SpacedJson,
    Float,
    Double,
    /// Bytes of little-endian single-precision numbers, as hexadecimal digits.
    Floats,
}

const NUMBER: &str = "CAST({} AS CHAR)";
const PLUS_0: &str = "CAST({} + 0 AS CHAR)";
const QUOTED: &str = "CONCAT('\"', {}, '\"')";
const TEXT: &str = "JSON_QUOTE(CONVERT({} USING utf8mb4))";
const BASE64: &str = "CONCAT('\"', REPLACE(TO_BASE64({}), '\\n', ''), '\"')";
const LABELS: &str = "IF({} + 0 = 0, '[]', CONCAT('[\"', REPLACE(CONVERT({} USING utf8mb4), ',', '\",\"'), '\"]'))";
const DATETIME: &str = "CONCAT('\"', REPLACE(CAST({} AS CHAR), ' ', 'T'), '\"')";
const TIMESTAMP: &str = "CONCAT('\"', REPLACE(CAST({} AS CHAR), ' ', 'T'), 'Z\"')";

const TEXT_OF_JSON: &str = "CAST({} AS CHAR)";
const GEOJSON: &str = "CAST(ST_AsGeoJSON({}) AS CHAR)";

/// Letters of one to four bytes in UTF-8, and what JSON escapes.
const ANY: &str = "aZ 09'\"\\/\u{0}\u{8}\n\r\t\u{c}\u{1f}\u{7f}é€中\u{2028}\u{ffff}😀";
const PLANE_0: &str = "aZ '\"\\é€中\u{2028}";
const GB18030: &str = "aZ '\"\\é€中㐀\u{2028}😀";
const LATIN1: &str = "aZ '\"\\éÿßŒ€\u{81}\u{a0}";
const ASCII: &str = "aZ 09'\"\\\n\u{0}\u{7f}";

const fn t(sql: &'static str, values: Values, select: &'static str) -> Type {
    Type { sql, values, select, answer: Answer::Json }
}

const fn with(sql: &'static str, values: Values, select: &'static str, answer: Answer) -> Type {
    Type { sql, values, select, answer }
}

pub const TYPES: &[Type] = &[
    t("TINYINT", Values::Int(-128, 127), NUMBER),
    t("TINYINT UNSIGNED", Values::Int(0, 255), NUMBER),
    t("BOOL", Values::Int(0, 1), NUMBER),
    t("SMALLINT", Values::Int(-32_768, 32_767), NUMBER),
    t("SMALLINT UNSIGNED", Values::Int(0, 65_535), NUMBER),
    t("MEDIUMINT", Values::Int(-8_388_608, 8_388_607), NUMBER),
    t("MEDIUMINT UNSIGNED", Values::Int(0, 16_777_215), NUMBER),
    t("INT", Values::Int(i32::MIN as i128, i32::MAX as i128), NUMBER),
    t("INT UNSIGNED", Values::Int(0, u32::MAX as i128), NUMBER),
    t("BIGINT", Values::Int(i64::MIN as i128, i64::MAX as i128), NUMBER),
    t("BIGINT UNSIGNED", Values::Int(0, u64::MAX as i128), NUMBER),
    t("YEAR", Values::Int(1901, 2155), PLUS_0),
    t("YEAR", Values::OneOf(&["0", "2026"]), PLUS_0),
    t("BIT(1)", Values::Bits(1), PLUS_0),
    t("BIT(9)", Values::Bits(9), PLUS_0),
    t("BIT(33)", Values::Bits(33), PLUS_0),
    t("BIT(64)", Values::Bits(64), PLUS_0),
    t("DECIMAL(1,0)", Values::Decimal(1, 0), QUOTED),
    t("DECIMAL(5,5)", Values::Decimal(5, 5), QUOTED),
    t("DECIMAL(10,2)", Values::Decimal(10, 2), QUOTED),
    t("DECIMAL(19,10)", Values::Decimal(19, 10), QUOTED),
    t("DECIMAL(38,9)", Values::Decimal(38, 9), QUOTED),
    t("DECIMAL(65,30)", Values::Decimal(65, 30), QUOTED),
    with("FLOAT", Values::Float, "CAST(CAST({} AS DOUBLE) AS CHAR)", Answer::Float),
    with("DOUBLE", Values::Double, NUMBER, Answer::Double),
    t("DATE", Values::Date, QUOTED),
    t("DATETIME", Values::DateTime(0), DATETIME),
    t("DATETIME(1)", Values::DateTime(1), DATETIME),
    t("DATETIME(4)", Values::DateTime(4), DATETIME),
    t("DATETIME(6)", Values::DateTime(6), DATETIME),
    t("TIMESTAMP NULL", Values::Timestamp(0), TIMESTAMP),
    t("TIMESTAMP(2) NULL", Values::Timestamp(2), TIMESTAMP),
    t("TIMESTAMP(5) NULL", Values::Timestamp(5), TIMESTAMP),
    t("TIME", Values::Time(0), QUOTED),
    t("TIME(1)", Values::Time(1), QUOTED),
    t("TIME(2)", Values::Time(2), QUOTED),
    t("TIME(3)", Values::Time(3), QUOTED),
    t("TIME(6)", Values::Time(6), QUOTED),
    t("CHAR(1)", Values::Text(ANY, 1), TEXT),
    t("CHAR(30)", Values::Text(ANY, 30), TEXT),
    t("VARCHAR(30)", Values::Text(ANY, 30), TEXT),
    t("VARCHAR(300)", Values::Text(ANY, 80), TEXT),
    t("TINYTEXT", Values::Text(ANY, 40), TEXT),
    t("TEXT", Values::Text(ANY, 200), TEXT),
    t("LONGTEXT", Values::Text(ANY, 300), TEXT),
    t("VARCHAR(20) CHARACTER SET utf8mb3", Values::Text(PLANE_0, 20), TEXT),
    t("VARCHAR(20) CHARACTER SET ascii", Values::Text(ASCII, 20), TEXT),
    t("VARCHAR(20) CHARACTER SET latin1", Values::Text(LATIN1, 20), TEXT),
    t("CHAR(20) CHARACTER SET latin1", Values::Text(LATIN1, 20), TEXT),
    t("TEXT CHARACTER SET latin1", Values::Text(LATIN1, 90), TEXT),
    t("VARCHAR(20) CHARACTER SET ucs2", Values::Text(PLANE_0, 20), TEXT),
    t("CHAR(20) CHARACTER SET utf16", Values::Text(ANY, 20), TEXT),
    t("TEXT CHARACTER SET utf16", Values::Text(ANY, 90), TEXT),
    t("VARCHAR(20) CHARACTER SET utf16le", Values::Text(ANY, 20), TEXT),
    t("VARCHAR(20) CHARACTER SET utf32", Values::Text(ANY, 20), TEXT),
    t("BINARY(1)", Values::Bytes(1), BASE64),
    t("BINARY(16)", Values::Bytes(16), BASE64),
    t("VARBINARY(30)", Values::Bytes(30), BASE64),
    t("VARBINARY(300)", Values::Bytes(90), BASE64),
    t("TINYBLOB", Values::Bytes(60), BASE64),
    t("BLOB", Values::Bytes(300), BASE64),
    t("ENUM('a', 'é', '中 文', 'it''s', '')", Values::OneOf(&["1", "2", "3", "4", "5", "'none of them'"]), TEXT),
    t("ENUM('é', 'ü') CHARACTER SET latin1", Values::OneOf(&["1", "2", "'none'"]), TEXT),
    t("SET('a', 'é', '中 文', 'd')", Values::Int(0, 15), LABELS),
    t("SET('é', 'ü', 'c') CHARACTER SET latin1", Values::Int(0, 7), LABELS),
    with("JSON", Values::Json, TEXT_OF_JSON, Answer::SpacedJson),
    t("VARCHAR(20) CHARACTER SET gbk", Values::Text("aZ'\"\\中文丂狛", 20), TEXT),
    t("TEXT CHARACTER SET gb18030", Values::Text(GB18030, 60), TEXT),
    t("CHAR(20) CHARACTER SET gb2312", Values::Text("aZ'\"\\中文啊", 20), TEXT),
    t("VARCHAR(20) CHARACTER SET big5", Values::Text("aZ'\"\\中文許功蓋", 20), TEXT),
    t("VARCHAR(20) CHARACTER SET sjis", Values::Text("aZ'\"日本表ｶﾅ", 20), TEXT),
    t("VARCHAR(20) CHARACTER SET cp932", Values::Text("aZ'\"\\日本表①髙", 20), TEXT),
    t("CHAR(20) CHARACTER SET ujis", Values::Text("aZ'\"\\日本丂ｶﾅ", 20), TEXT),
    t("TEXT CHARACTER SET eucjpms", Values::Text("aZ'\"\\日本①ｶﾅ", 60), TEXT),
    t("VARCHAR(20) CHARACTER SET euckr", Values::Text("aZ'\"\\한국가힝", 20), TEXT),
    t("VARCHAR(20) CHARACTER SET cp1251", Values::Text("aZ'\"\\Привет№€", 20), TEXT),
    t("CHAR(20) CHARACTER SET koi8r", Values::Text("aZ'\"\\Привет─", 20), TEXT),
    t("VARCHAR(20) CHARACTER SET greek", Values::Text("aZ'\"\\αβγ", 20), TEXT),
    t("VARCHAR(20) CHARACTER SET tis620", Values::Text("aZ'\"\\กขฃ", 20), TEXT),
    with("GEOMETRY", Values::Geometry(0), GEOJSON, Answer::SpacedJson),
    with("GEOMETRY SRID 4326", Values::Geometry(4326), GEOJSON, Answer::SpacedJson),
    with("VECTOR(4)", Values::Vector(4), "HEX({})", Answer::Floats),
];
