//! Other forms of a value: base64, hex digits, percent-encoding, XML, digests.

use super::*;

/// An insert whose column `raw` holds these bytes, and `status` this text.
fn holding(bytes: &[u8], status: &str) -> Arc<Change> {
    let mut cells = cells(status, "12.30");
    cells[6] = Cell::Value(Value::Bytes(bytes.into()));
    change(Op::Insert, None, Some(cells))
}

/// RFC 4648, section 10.
const BASE64: &[(&str, &str, &str)] = &[
    ("", "", ""),
    ("f", "Zg==", "66"),
    ("fo", "Zm8=", "666f"),
    ("foo", "Zm9v", "666f6f"),
    ("foob", "Zm9vYg==", "666f6f62"),
    ("fooba", "Zm9vYmE=", "666f6f6261"),
    ("foobar", "Zm9vYmFy", "666f6f626172"),
];

#[test]
fn base64_and_hex_are_those_of_the_rfc() {
    for (plain, base64, hex) in BASE64 {
        let row = holding(plain.as_bytes(), plain);
        for (source, expected) in [
            ("{{ row.status | base64 }}", base64),
            ("{{ row.raw | base64 }}", base64),
            ("{{ row.raw }}", base64),
            ("{{ row.raw | unbase64 }}", plain),
            ("{{ row.status | base64 | unbase64 }}", plain),
            ("{{ row.status | base64 | base64 | unbase64 }}", base64),
            ("{{ row.raw | hex }}", hex),
            ("{{ row.raw | hex | unhex }}", base64),
            ("{{ row.raw | hex | unhex | unbase64 }}", plain),
            ("{{ row.raw | hex | upper | unhex | hex }}", hex),
            ("{% set b = row.status | base64 %}{{ b | unbase64 }}", plain),
        ] {
            assert_eq!(text(source, &row), Ok((*expected).to_owned()), "{source} of {plain}");
        }
        let written = holding(b"", base64);
        assert_eq!(text("{{ row.status | unbase64 }}", &written), Ok((*plain).to_owned()), "{plain}");
    }
    for (written, expected) in
        [("Zm9vYg", "foob"), ("Zm9v\nYmFy\r\n", "foobar"), ("w7_Dvg==", "ÿþ"), ("w7/Dvg==", "ÿþ"), ("fn5-", "~~~")]
    {
        assert_eq!(text("{{ row.status | unbase64 }}", &insert(written)), Ok(expected.into()), "{written}");
    }
}

#[test]
fn what_is_no_base64_or_hex_is_refused_without_showing_it() {
    for (source, value, expected) in [
        ("{{ row.status | unbase64 }}", "Zm9v!", "`unbase64`: this value is no base64"),
        ("{{ row.status | unbase64 }}", "Zm9vY", "`unbase64`: this value is no base64"),
        ("{{ row.status | unbase64 }}", "a-b/", "`unbase64`: this value is no base64"),
        ("{{ row.status | unbase64 }}", "/w==", "these bytes are not UTF-8"),
        ("{{ row.status | unhex }}", "0", "`unhex`: this value is no text of hex digits in pairs"),
        ("{{ row.status | unhex }}", "0x00", "`unhex`: this value is no text of hex digits in pairs"),
        ("{{ row.status | unhex }}", "zz", "`unhex`: this value is no text of hex digits in pairs"),
        ("{{ row.status | unhex }}", "é", "`unhex`: this value is no text of hex digits in pairs"),
        ("{{ row.id | unhex }}", "", "`unhex`: this value is no text of hex digits in pairs"),
        ("{{ row.tags | unbase64 }}", "", "`unbase64`: this value is no base64"),
        ("{{ row.raw | unbase64 }}", "", "these bytes are not UTF-8"),
        ("{{ row.doc.b | sha256 }}", "", "`sha256` of NULL has no value"),
        ("{{ row.status | hmac(row.note) }}", "x", "`hmac`: the key is NULL"),
        ("{{ row.status | hmac(row.doc.c) }}", "x", "`row.doc.c` is undefined"),
        ("{{ row.tags | urlencode }}", "x", "`urlencode`: lists and maps have no form"),
        ("{{ row.doc | urlencode }}", "x", "`urlencode`: lists and maps have no form"),
        ("{{ row.status | xml }}", "\u{1}", "a character that XML can't hold"),
    ] {
        let message = text(source, &holding(&[0xff, 0xfe], value)).expect_err(source);
        assert!(message.contains(expected), "{source}: {message}");
        assert!(value.len() < 4 || !message.contains(value), "{message}");
    }
}

#[test]
fn a_value_is_percent_encoded_down_to_the_unreserved_characters() {
    for (value, expected) in [
        ("A-z_0.9~", "A-z_0.9~"),
        ("a b/c?d=e&f+g", "a%20b%2Fc%3Fd%3De%26f%2Bg"),
        ("Zoë 😀", "Zo%C3%AB%20%F0%9F%98%80"),
        ("%41*'()!\r\n", "%2541%2A%27%28%29%21%0D%0A"),
        ("", ""),
    ] {
        assert_eq!(text("{{ row.status | urlencode }}", &insert(value)), Ok(expected.into()), "{value}");
    }
    for (source, expected) in [("{{ row.total | urlencode }}", "12.30"), ("{{ true | urlencode }}", "true")] {
        assert_eq!(text(source, &update()), Ok(expected.into()), "{source}");
    }
}

#[test]
fn a_text_is_escaped_for_xml_once() {
    let row = insert("<b> & \"c\" 'd'\n");
    let escaped = "&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;&#10;";
    assert_eq!(text("{{ row.status | xml }}", &row).as_deref(), Ok(escaped));
    for source in [
        "<o>{{ row.status | xml }}</o>",
        "<o>{{ row.status }}</o>",
        "<o>{% if true %}{{ row.status | xml }}{% endif %}</o>",
        "<o>{% set s = row.status | xml %}{{ s }}</o>",
    ] {
        let template = TextTemplate::compile_markup(source, Markup::Xml, &no_env).expect("compiles");
        assert_eq!(template.render(&scope(&row)), Ok(format!("<o>{escaped}</o>")), "{source}");
    }
    let whole =
        TextTemplate::compile_markup("<o>{{ ('<p>' ~ (row.status | xml) ~ '</p>') | safe }}</o>", Markup::Xml, &no_env);
    let expected = format!("<o><p>{escaped}</p></o>");
    assert_eq!(whole.expect("compiles").render(&scope(&row)), Ok(expected));
}

/// FIPS 180-4 has the first three; the others are Python's hashlib.
#[test]
fn digests_are_of_the_bytes_of_a_text_or_of_a_column() {
    for (source, value, expected) in [
        ("row.status | sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("row.status | sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            "row.status | sha256",
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        ("row.status | sha256", "Zoë", ZOE),
        ("row.total | sha256", "", AMOUNT),
        ("row.raw | sha256", "", RAW),
        ("row['raw'] | sha256", "", RAW),
        ("(row.raw or 'x') | sha256", "", RAW),
        ("(row.note or row.raw) | sha256", "", RAW),
        ("row.raw | default('x') | sha256", "", RAW),
        ("(row.raw if op == 'insert' else 'x') | sha256", "", RAW),
        ("row.raw | hex | unhex | sha256", "", RAW),
        ("row.status | unhex | sha256", "00ff", RAW),
        ("row.status | unbase64 | sha256", "AP8=", RAW),
        // A text that looks like base64 is a text.
        ("row.status | sha256", "AP8=", "0fbcb9371ce8ef5248825dbb03bff3ff68c21458bd44f75f0c9d8ad305b87521"),
    ] {
        let row = holding(&[0, 255], value);
        assert_eq!(text(&format!("{{{{ {source} }}}}"), &row), Ok(expected.into()), "{source} of {value}");
        assert_eq!(condition(&format!("({source}) == '{expected}'"), &row), Ok(true), "{source} of {value}");
    }
    let long = holding(b"", &"a".repeat(1_000_000));
    let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    assert_eq!(text("{{ row.status | sha256 }}", &long), Ok(expected.into()));
}

const ZOE: &str = "c6a12698582fc1104ea24107a2d7268145ff06ef859707729d01fd060897f067";
const AMOUNT: &str = "66967ee1379cad8e86426d661092b928146814083cf2c1f1d0263c470d9cff28";
const RAW: &str = "06eb7d6a69ee19e5fbdf749018d3d2abfa04bcbd1365db312eb86dc7169389b8";

/// RFC 4231, section 4.
#[test]
fn hmacs_are_those_of_the_rfc() {
    let key = |text: &str| -> Result<Option<Secret>, String> { Ok(Some(Secret::new(text))) };
    for (env, data, expected) in [
        ("0b".repeat(20), b"Hi There".to_vec(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            "4a656665".to_owned(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("aa".repeat(20), vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            "0102030405060708090a0b0c0d0e0f10111213141516171819".to_owned(),
            vec![0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            "aa".repeat(131),
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        let env = |_: &str| key(&env);
        let template = TextTemplate::compile("{{ row.raw | hmac(env.KEY | unhex) }}", &env).expect("compiles");
        assert!(template.uses_env());
        assert_eq!(template.render(&scope(&holding(&data, ""))), Ok(expected.into()));
    }
    let env = |_: &str| key("Jefe");
    let row = insert("what do ya want for nothing?");
    for (source, expected) in [
        ("{{ row.status | hmac(env.KEY) }}", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ("{{ row.status | hmac(env.KEY) | unhex }}", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
        (
            "sha256={% set mac = row.status | hmac(env.KEY) %}{{ mac }}",
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("{{ row.status | hmac('Jefe') | length }}", "64"),
    ] {
        let template = TextTemplate::compile(source, &env).expect("compiles");
        assert_eq!(template.render(&scope(&row)), Ok(expected.into()), "{source}");
        assert_eq!(template.uses_env(), source.contains("env."), "{source}");
        assert!(!format!("{template:?}").contains("Jefe\""), "{template:?}");
    }
    let unset = TextTemplate::compile("{{ row.status | hmac(env.KEY) }}", &no_env).expect_err("no such variable");
    assert!(unset[0].message.contains("`KEY` is not set"), "{unset:?}");
    let flaws = TextTemplate::compile("{{ row.status | hmac }}", &no_env).expect_err("a key is needed");
    assert!(flaws[0].message.contains("filter `hmac` takes 1 argument, not 0"), "{flaws:?}");
}

#[test]
fn a_form_that_is_too_long_is_refused_and_a_digest_has_no_limit() {
    let long = holding(&vec![b'<'; 600_000], &"<".repeat(600_000));
    for source in ["row.status | urlencode", "row.status | xml", "row.raw | hex", "row.raw | base64 | base64"] {
        fails_with(text(&format!("{{{{ {source} | length }}}}"), &long), "larger than 1048576 bytes");
    }
    let longer = holding(&vec![b'a'; 2 << 20], &"a".repeat(4 << 20));
    for source in ["row.raw | base64", "row.raw | unbase64", "row.status | unhex", "row.status | unbase64"] {
        fails_with(text(&format!("{{{{ {source} | length }}}}"), &longer), "larger than 1048576 bytes");
    }
    for source in ["row.raw | sha256", "row.status | sha256", "row.raw | hmac('k')"] {
        assert_eq!(text(&format!("{{{{ {source} | length }}}}"), &longer), Ok("64".into()), "{source}");
    }
}
