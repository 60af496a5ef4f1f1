//! Odd JSON documents: the text that the source yields has the tokens of what SELECT shows, in the same order.

use super::*;

/// SQL expressions of documents.
fn documents() -> Vec<String> {
    let literal = |text: &str| format!("CAST('{}' AS JSON)", text.replace('\\', "\\\\").replace('\'', "''"));
    let mut documents: Vec<String> = [
        // Scalars, and what is empty.
        "null", "true", "false", "0", "1.0", "\"\"", "\"text\"", "{}", "[]", "[[]]", "{\"\":{}}",
        // Integers at the limits of their stored sizes.
        "[-32768,-32769,32767,32768,65535,65536,-2147483648,-2147483649,2147483647,2147483648,4294967295,4294967296]",
        "[-9223372036854775808,9223372036854775807,9223372036854775808,18446744073709551615,18446744073709551616]",
        // Doubles.
        "[1e300,-1e300,1.7976931348623157e308,5e-324,2.2250738585072014e-308,-0.0,0.0,1.0,-1.5,0.1,0.30000000000000004]",
        "[1e14,1e15,1e16,1e17,123456789012345680.0,9007199254740993.0,1e-5,1e-6,1e-7,123e-20,0.000123,1e21,1e22]",
        // Keys and strings that need quoting.
        r#"{"":1,"q\"":2,"b\\":3,"t\tn\n":4,"\u0001":5,"é":6,"😀":7,"a b":8,"$":9,"a.b[0]":10,"/":11,"'":12}"#,
        r#"["\u0000\u001f\u007f\u0080\u2028\ufeff\ud83d\ude00","\b\f\n\r\t\"\\\/","é😀中"]"#,
        // Members by length, then by bytes.
        r#"{"b":1,"a":2,"aa":3,"B":4,"ab":5,"é":6,"z":7,"":8}"#,
    ]
    .map(literal)
    .to_vec();
    documents.extend(
        [
            // Values of SQL types; each that JSON lacks is stored as it is.
            "JSON_ARRAY(DATE'2024-02-29', DATE'0000-00-00', DATE'9999-12-31', DATE'1000-01-01')",
            "JSON_ARRAY(TIME'-838:59:59', TIME'838:59:59', TIME'00:00:00', TIME'-00:00:00.000001', TIME'100:00:00.5')",
            "JSON_ARRAY(TIMESTAMP'2024-02-29 12:34:56', TIMESTAMP'2024-02-29 12:34:56.123456', TIMESTAMP'9999-12-31 23:59:59.999999')",
            "JSON_ARRAY(CAST('2024' AS YEAR), b'101', x'00ff', CAST('abc' AS BINARY), CAST('' AS BINARY))",
            "JSON_ARRAY(CAST(1.10 AS DECIMAL(10,2)), CAST(-0.5 AS DECIMAL(5,3)), CAST(0 AS DECIMAL(30,10)), CAST(100 AS DECIMAL(3,0)))",
            "JSON_ARRAY(CAST('99999999999999999999999999999999999.999999999999999999999999999999' AS DECIMAL(65,30)), \
                CAST('-0.000000000000000000000000000001' AS DECIMAL(65,30)), \
                CAST(REPEAT('9', 65) AS DECIMAL(65,0)))",
            "JSON_OBJECT('g', ST_GeomFromText('POINT(1 2)'), 'n', NULL, 't', TRUE, 'd', 1.5e0, 'dec', 1.50, 'u', CAST(5 AS UNSIGNED))",
            "CAST(TIME'10:11:12' AS JSON)",
            "CAST(CAST(1.10 AS DECIMAL(10,2)) AS JSON)",
            "CAST(CAST('x' AS BINARY) AS JSON)",
            "(SELECT JSON_ARRAYAGG(x) FROM (SELECT 1 AS x UNION ALL SELECT 2) AS t)",
            "(SELECT JSON_ARRAY(e, s, y, b, ts) FROM test.columns)",
            // Lengths of one, two and three bytes.
            "JSON_ARRAY(REPEAT('x', 127), REPEAT('x', 128), REPEAT('é', 8191), REPEAT('x', 16384), REPEAT('x', 70000))",
            "JSON_ARRAY(REPEAT('x', 2097151), REPEAT('y', 2097152))",
            "JSON_OBJECT(REPEAT('k', 65535), 1, 'x', 2)",
            // Large forms, in which integers of 32 bits stand in the entries.
            "JSON_ARRAY(REPEAT('x', 70000), 1, -1, 65536, -65536, 2147483648, 4294967296, NULL, TRUE, 1.5, JSON_OBJECT('a', 70000), JSON_ARRAY())",
            "JSON_OBJECT('pad', REPEAT('x', 70000), 'i', 70000, 'u', 4294967295, 's', 5, 'n', NULL, 'o', JSON_OBJECT('a', JSON_ARRAY(1, 70000)))",
            "CONCAT('[', REPEAT('70000,', 20000), '-70000]')",
            "(WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT JSON_OBJECTAGG(CONCAT('key', n), REPEAT('v', n)) FROM n)",
            // The deepest that the server takes.
            "CONCAT(REPEAT('[', 100), REPEAT(']', 100))",
            "CONCAT(REPEAT('[', 99), '1e300', REPEAT(']', 99))",
            "CONCAT(REPEAT('{\"a\":', 99), '{\"b\":\"c\"}', REPEAT('}', 99))",
        ]
        .map(str::to_owned),
    );
    documents
}

/// Strings as what they mean, numbers and signs as they stand; white space is left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let string = strings.next().expect("a string").expect("a whole string");
                tokens.push(format!("\"{string}"));
                rest = &rest[strings.byte_offset()..];
                continue;
            }
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            ' ' => {
                rest = &rest[1..];
                continue;
            }
            _ => rest.find([',', ']', '}', ' ']).unwrap_or(rest.len()),
        };
        tokens.push(rest[..length].to_string());
        rest = &rest[length..];
    }
    tokens
}

/// A double may have another form, such as 1000000000000000.0 for 1e15, if it is the same and still no integer.
fn is_same(one: &str, other: &str) -> bool {
    let double = |token: &str| token.parse::<f64>().ok().filter(|_| token.contains(['.', 'e'])).map(f64::to_bits);
    one == other || double(one).is_some() && double(one) == double(other)
}

#[tokio::test]
async fn odd_documents_read_as_select_shows_them() {
    let server = Mysql::start(&["--max-allowed-packet=64M"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.j (id INT PRIMARY KEY, j JSON)").await;
    sql(&mut root, "CREATE TABLE test.columns (e ENUM('a', 'é'), s SET('x', 'y'), y YEAR, b BIT(9), ts TIMESTAMP(3))")
        .await;
    sql(&mut root, "INSERT INTO test.columns VALUES ('é', 'x,y', 2024, b'100000001', '2024-02-29 12:34:56.789')").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    let documents = documents();
    for (id, document) in documents.iter().enumerate() {
        sql(&mut root, &format!("INSERT INTO test.j VALUES ({id}, {document})")).await;
    }
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    assert_eq!(changes.len(), documents.len());
    let shown: Vec<String> = root.query("SELECT CAST(j AS CHAR) FROM test.j ORDER BY id").await.expect("documents");
    for ((change, shown), document) in changes.iter().zip(shown).zip(documents) {
        let Some(Value::Json(text)) = change.latest(1) else { panic!("no document for {document}") };
        let (found, expected) = (tokens(&text), tokens(&shown));
        let differing = found.iter().zip(&expected).find(|(found, expected)| !is_same(found, expected));
        assert_eq!((differing, found.len()), (None, expected.len()), "{document}");
    }
}
