//! Every code of every character set: the decoder's text is what the server's CONVERT gives, or a refusal where the server
//! has no character. The server says itself which codes a column can hold.

use std::collections::HashSet;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::column::charset::{Charset, Charsets};

use crate::support::mysql::MysqlServer;

const MULTI_BYTE: &[&str] = &["big5", "cp932", "euckr", "gb18030", "gb2312", "gbk", "sjis"];
const EUC_JP: &[&str] = &["ujis", "eucjpms"];
const UNICODE: &[&str] = &["ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4"];

/// All bytes; codes are put together from them.
const BYTES: &str = "CREATE TABLE b (b VARBINARY(1) PRIMARY KEY, n INT UNSIGNED);
     INSERT INTO b WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 255) \
     SELECT UNHEX(LPAD(HEX(n), 2, '0')), n FROM c";

struct Sets {
    connection: Conn,
    charsets: Charsets,
    /// (collation, character set), the default collation of each set.
    defaults: Vec<(u16, String)>,
}

impl Sets {
    async fn ask() -> Sets {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        let mut connection = server.conn().await;
        connection
            .query_drop(format!(
                "USE {database}; SET sql_mode = '', sql_log_bin = 0, max_heap_table_size = 256 << 20; {BYTES}"
            ))
            .await
            .unwrap();
        let question = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE IS_DEFAULT = 'Yes'";
        let defaults: Vec<(u16, String)> = connection.query(question).await.unwrap();
        let all: Vec<(u16, String)> =
            connection.query("SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS").await.unwrap();
        Sets { connection, charsets: Charsets::new(all), defaults }
    }

    fn charset(&self, name: &str) -> Charset {
        let (collation, _) = self.defaults.iter().find(|(_, set)| set == name).expect(name);
        self.charsets.of(u64::from(*collation))
    }

    /// What the server makes of each of the codes that `codes` selects: (code, what a column holds of it, as UTF-8).
    async fn conversions(&mut self, set: &str, codes: &str) -> Vec<(Vec<u8>, Option<String>)> {
        let sql = format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (c VARBINARY(4), s VARCHAR(4) CHARACTER SET {set}) ENGINE = MEMORY; \
             INSERT IGNORE INTO t SELECT c, c FROM ({codes}) AS d (c)"
        );
        self.connection.query_drop(sql).await.unwrap();
        let question = "SELECT HEX(c), HEX(s), HEX(CONVERT(s USING utf8mb4)) FROM t";
        let rows: Vec<(String, String, String)> = self.connection.query(question).await.unwrap();
        let conversion = |(code, stored, text): (String, String, String)| {
            let is_stored = code == stored;
            (unhex(&code), is_stored.then(|| String::from_utf8(unhex(&text)).expect("UTF-8")))
        };
        rows.into_iter().map(conversion).collect()
    }

    /// Compares all codes and returns how many of them are characters.
    async fn check(&mut self, set: &str, codes: &str) -> usize {
        let charset = self.charset(set);
        let mut wrong = Vec::new();
        let mut read = 0;
        for (code, text) in self.conversions(set, codes).await {
            let expected = text.filter(|text| is_converted(set, &code, text));
            let found = charset.decode(&code).ok();
            read += usize::from(found.is_some());
            if found.as_deref() != expected.as_deref() {
                wrong.push(format!("{}: {found:?}, the server has {expected:?}", hex(&code)));
            }
        }
        assert!(
            wrong.is_empty(),
            "{set}: {} codes differ, such as\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
        read
    }
}

/// Whether the server converted all of it: it puts `?` or nothing, or in its tables U+FFFD, where it has no character.
fn is_converted(set: &str, code: &[u8], text: &str) -> bool {
    let mark: &[u8] = match set {
        "ucs2" | "utf16" => b"\0?",
        "utf16le" => b"?\0",
        "utf32" => b"\0\0\0?",
        _ => b"?",
    };
    let marks_stored = code.chunks(mark.len()).filter(|unit| *unit == mark).count();
    let marks = text.chars().filter(|character| *character == '?').count();
    !text.is_empty() && marks == marks_stored && (UNICODE.contains(&set) || !text.contains('\u{fffd}'))
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[tokio::test]
async fn every_character_set_of_the_server_is_known() {
    let sets = Sets::ask().await;
    assert!(sets.defaults.len() > 40, "{:?}", sets.defaults);
    for (collation, name) in &sets.defaults {
        let charset = sets.charsets.of(u64::from(*collation));
        assert!(!matches!(charset, Charset::Unknown { .. }), "{name}");
    }
}

#[tokio::test]
async fn every_byte_of_a_single_byte_set_reads_as_the_server_converts_it() {
    let mut sets = Sets::ask().await;
    let others: HashSet<&str> = [MULTI_BYTE, EUC_JP, UNICODE, &["binary"]].concat().into_iter().collect();
    let names: Vec<String> = sets.defaults.iter().map(|(_, name)| name.clone()).collect();
    let mut checked = 0;
    for name in names.iter().filter(|name| !others.contains(name.as_str())) {
        let read = sets.check(name, "SELECT b FROM b").await;
        assert!(read >= 127, "{name}: {read} bytes are characters");
        checked += 1;
    }
    assert!(checked >= 25, "{checked} sets");
}

const TWO_BYTES: &str = "SELECT b FROM b UNION ALL SELECT CONCAT(p.b, q.b) FROM b p JOIN b q WHERE p.n >= 128";

#[tokio::test]
async fn every_code_of_one_or_two_bytes_reads_as_the_server_converts_it() {
    let mut sets = Sets::ask().await;
    for (name, characters_min) in MULTI_BYTE.iter().zip([13_000, 9_000, 17_000, 24_000, 7_000, 21_000, 7_000]) {
        let read = sets.check(name, TWO_BYTES).await;
        assert!(read > characters_min, "{name}: {read} codes are characters");
    }
}

#[tokio::test]
async fn every_code_of_three_bytes_reads_as_the_server_converts_it() {
    let mut sets = Sets::ask().await;
    for name in EUC_JP {
        let codes = format!("{TWO_BYTES} UNION ALL SELECT CONCAT(0x8f, p.b, q.b) FROM b p JOIN b q");
        let read = sets.check(name, &codes).await;
        assert!(read > 15_000, "{name}: {read} codes are characters");
    }
}

/// 1.6 million codes, so a row holds all that begin with the same two bytes; the server stores each of them.
#[tokio::test]
async fn every_code_of_four_bytes_reads_as_the_server_converts_it() {
    let mut sets = Sets::ask().await;
    let mut rows = Vec::new();
    for (first, second) in (0x81..=0xfe_u8).flat_map(|first| (0x30..=0x39_u8).map(move |second| (first, second))) {
        let codes = (0x81..=0xfe_u8).flat_map(|third| (0x30..=0x39_u8).map(move |fourth| [third, fourth]));
        rows.push(format!(
            "(X'{}')",
            codes.map(|tail| hex(&[&[first, second], &tail[..]].concat())).collect::<String>()
        ));
    }
    let sql = "CREATE TABLE t (s TEXT CHARACTER SET gb18030)";
    sets.connection.query_drop(sql).await.unwrap();
    sets.connection.query_drop(format!("INSERT INTO t VALUES {}", rows.join(","))).await.unwrap();
    let question = "SELECT CAST(s AS BINARY), CAST(CONVERT(s USING utf8mb4) AS BINARY) FROM t";
    let rows: Vec<(Vec<u8>, Vec<u8>)> = sets.connection.query(question).await.unwrap();
    let gb18030 = sets.charset("gb18030");
    let (mut read, mut wrong) = (0, Vec::new());
    for (codes, text) in rows {
        let text = String::from_utf8(text).expect("UTF-8");
        let (codes, rest) = codes.as_chunks::<4>();
        assert!(rest.is_empty() && codes.len() == text.chars().count(), "one character per code");
        for (code, expected) in codes.iter().zip(text.chars()) {
            let found = gb18030.decode(code).ok();
            read += usize::from(found.is_some());
            let is_same = match &found {
                Some(found) => found.chars().eq([expected]),
                None => expected == '?',
            };
            if !is_same {
                wrong.push(format!("{}: {found:?}, the server has {expected:?}", hex(code)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} codes differ, such as\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    // All of Unicode but the surrogates and what has codes of two bytes or one.
    assert_eq!(read, 1_087_996);
}

#[tokio::test]
async fn unicode_reads_as_the_server_converts_it() {
    let mut sets = Sets::ask().await;
    let two = "SELECT CONCAT(p.b, q.b) FROM b p JOIN b q";
    sets.check("ucs2", two).await;
    // A byte of each kind that the second half of a surrogate pair may begin with.
    let pairs = "SELECT CONCAT(p.b, q.b, r.b, 0x01) FROM b p JOIN b q JOIN b r \
         WHERE p.n BETWEEN 0xd7 AND 0xe0 AND q.n % 51 = 0 AND r.n BETWEEN 0xd7 AND 0xe0";
    for codes in [two, pairs] {
        sets.check("utf16", codes).await;
    }
    let turned = pairs.replace("p.b, q.b, r.b, 0x01", "q.b, p.b, 0x01, r.b");
    for codes in [two, &turned] {
        sets.check("utf16le", codes).await;
    }
    let words = "SELECT CONCAT(p.b, q.b, r.b, 0x01) FROM b p JOIN b q JOIN b r WHERE p.n < 2 AND q.n < 20";
    sets.check("utf32", words).await;
    let edges = "0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0";
    let three =
        format!("SELECT CONCAT(p.b, q.b, r.b) FROM b p JOIN b q JOIN b r WHERE p.n >= 0xe0 AND r.n IN ({edges})");
    for set in ["utf8mb3", "utf8mb4"] {
        sets.check(set, &format!("{two} UNION ALL SELECT b FROM b")).await;
        sets.check(set, &three).await;
    }
    // A column of utf8mb3 cannot hold these.
    let four = format!(
        "SELECT CONCAT(p.b, q.b, r.b, s.b) FROM b p JOIN b q JOIN b r JOIN b s \
         WHERE p.n >= 0xf0 AND q.n IN ({edges}) AND r.n IN ({edges}) AND s.n IN ({edges})"
    );
    sets.check("utf8mb4", &four).await;
}
