//! Bytes in texts: `hex` and `uuid`.

use super::*;

/// An insert whose column `raw` holds these bytes.
fn holding(bytes: &[u8]) -> Arc<Change> {
    let mut cells = cells("paid", "12.30");
    cells[6] = Cell::Value(Value::Bytes(bytes.into()));
    change(Op::Insert, None, Some(cells))
}

const UUID: [u8; 16] = [0x1f, 0x07, 0x27, 0xb7, 0x2c, 0xc9, 0x69, 0x10, 0x92, 0x0c, 0xb1, 0x2f, 0x2d, 0x10, 0x06, 0x00];

#[test]
fn bytes_are_written_as_hex_digits_and_as_a_uuid() {
    for (source, bytes, expected) in [
        ("{{ row.raw | hex }}", &[0_u8, 255, 0x1f][..], "00ff1f"),
        ("{{ row.raw | hex | upper }}", &[0xab], "AB"),
        ("{{ row.raw | hex }}", &[], ""),
        ("{{ row.raw | uuid }}", &UUID, "1f0727b7-2cc9-6910-920c-b12f2d100600"),
        ("{{ row.raw | uuid }}", &[0; 16], "00000000-0000-0000-0000-000000000000"),
        // What UUID_TO_BIN('1f0727b7-2cc9-6910-920c-b12f2d100600', 1) gives.
        (
            "{{ row.raw | uuid(true) }}",
            &[0x69, 0x10, 0x2c, 0xc9, 0x1f, 0x07, 0x27, 0xb7, 0x92, 0x0c, 0xb1, 0x2f, 0x2d, 0x10, 0x06, 0x00],
            "1f0727b7-2cc9-6910-920c-b12f2d100600",
        ),
    ] {
        assert_eq!(text(source, &holding(bytes)), Ok(expected.to_string()), "{source}");
    }
    let called = url("https://api.example.com/orders/{{ row.raw | uuid }}", &holding(&UUID));
    assert_eq!(called, Ok("https://api.example.com/orders/1f0727b7-2cc9-6910-920c-b12f2d100600".to_string()));
}

#[test]
fn what_is_no_column_of_bytes_is_refused() {
    fails_with(text("{{ row.raw | uuid }}", &holding(&UUID[..15])), "16 bytes");
    fails_with(text("{{ row.raw | uuid }}", &holding(&[])), "16 bytes");
    fails_with(text("{{ row.id | hex }}", &insert("paid")), "columns of bytes");
    fails_with(text("{{ row.note | hex }}", &insert("paid")), "NULL");
    fails_with(text("{{ row.status | uuid }}", &insert("no base64")), "columns of bytes");
}

#[test]
fn what_stands_in_for_bytes_is_bytes_to_the_filters_that_tell_them() {
    let empty = holding(&[]);
    for (source, expected) in [
        // `none` would be three bytes if it were read as base64.
        ("row.raw | default('none', true) | hex", "6e6f6e65"),
        ("(row.raw or 'none') | hex", "6e6f6e65"),
        ("('none' if op == 'insert' else row.raw) | hex", "6e6f6e65"),
        ("row.raw | default(row.status, true) | hex", "70616964"),
        ("row.raw | default('0123456789abcdef', true) | uuid", "30313233-3435-3637-3839-616263646566"),
        ("row.raw | default('none', true) | base64", "bm9uZQ=="),
        ("row.raw | default('00ff' | unhex, true) | hex", "00ff"),
        ("(row.raw or ('00ff' | unhex)) | base64", "AP8="),
        ("row.raw | default(row.note, true) | default('none', true) | hex", "6e6f6e65"),
    ] {
        assert_eq!(text(&format!("{{{{ {source} }}}}"), &empty), Ok(expected.to_string()), "{source}");
        assert_eq!(condition(&format!("({source}) == '{expected}'"), &empty), Ok(true), "{source}");
    }
    let full = holding(&[0, 255]);
    for (source, expected) in [
        ("row.doc.none | default(row.raw) | base64", "AP8="),
        ("row.doc.none | default(row.raw) | hex", "00ff"),
        (
            "row.doc.none | default(row.raw) | sha256",
            "06eb7d6a69ee19e5fbdf749018d3d2abfa04bcbd1365db312eb86dc7169389b8",
        ),
        ("row.raw | default('none', true) | hex", "00ff"),
        ("[row.raw][0] | hex", "00ff"),
    ] {
        assert_eq!(text(&format!("{{{{ {source} }}}}"), &full), Ok(expected.to_string()), "{source}");
    }
    fails_with(text("{{ row.raw | default(5, true) | hex }}", &empty), "columns of bytes");
}

/// What the one part of a multipart body sends for this value.
fn part(source: &str, change: &Arc<Change>) -> Result<Option<Vec<u8>>, String> {
    let value = TextTemplate::compile_bytes(source, &no_env).map_err(|flaws| flaws[0].message.clone())?;
    let parts = vec![PartTemplate::new("p", None, None, PartContent::Value(value))];
    let mut out = Vec::new();
    MultipartTemplate { parts }.render(&scope(change), "1", &mut out).map_err(|error| error.to_string())?;
    let header = b"--rowhook-1\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\n";
    let content = out.strip_prefix(header).and_then(|out| out.strip_suffix(b"\r\n--rowhook-1--\r\n"));
    Ok(content.map(<[u8]>::to_vec))
}

#[test]
fn a_part_whose_value_is_that_of_a_column_of_bytes_sends_the_bytes() {
    let (full, empty) = (holding(&[0, 255]), holding(&[]));
    for (source, sent_of_full, sent_of_empty) in [
        ("{{ row.raw }}", Some(&[0, 255][..]), Some(&[][..])),
        ("{{ row.raw or omit }}", Some(&[0, 255]), None),
        ("{{ omit if row.status != 'paid' else row.raw }}", Some(&[0, 255]), Some(&[])),
        ("{{ row.raw or row.status }}", Some(&[0, 255]), Some(b"paid")),
        ("{{ row.raw | default('none', true) }}", Some(&[0, 255]), Some(b"none")),
        ("{{ row.note | default(row.raw, true) }}", Some(&[0, 255]), Some(&[])),
        ("{{ row.status and row.raw }}", Some(&[0, 255]), Some(&[])),
        ("{{ '00ff' | unhex }}", Some(&[0, 255]), Some(&[0, 255])),
        ("{{ (row.raw | base64) | unbase64 }}", Some(&[0, 255]), Some(&[])),
        // A longer text, and one of several expressions, has no bytes.
        ("{{ row.raw | base64 }}", Some(b"AP8="), Some(b"")),
        ("raw {{ row.raw }}", Some(b"raw AP8="), Some(b"raw ")),
        ("{{ row.raw }}\n", Some(&[0, 255]), Some(&[])),
        ("a,{{ row.id > 5 }}\n", Some(b"a,true\n"), Some(b"a,true\n")),
    ] {
        assert_eq!(part(source, &full).as_ref().map(Option::as_deref), Ok(sent_of_full), "{source}");
        assert_eq!(part(source, &empty).as_ref().map(Option::as_deref), Ok(sent_of_empty), "{source}");
    }
    fails_with(part("{{ row.note }}", &full), "NULL");
    fails_with(part("{{ row.note or omit ~ 'x' }}", &full), "omit");
}
