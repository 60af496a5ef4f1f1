//! Text in many character sets and modes, and what it is cut into: words as they are, `<names>`, `'texts'`.

use super::*;

const PLAIN: Modes = Modes { ansi_quotes: false, no_backslash_escapes: false };
const ANSI: Modes = Modes { ansi_quotes: true, no_backslash_escapes: false };
const NO_ESCAPES: Modes = Modes { ansi_quotes: false, no_backslash_escapes: true };

fn charset(name: &str) -> Charset {
    Charsets::new([(1, name.to_string())]).of(1)
}

fn shown(text: &[u8], charset: Charset, modes: Modes) -> String {
    let Some(tokens) = tokens(text, charset, modes) else { return "refused".to_string() };
    let show = |token: &SqlToken| match token {
        SqlToken::Word(word) => word.clone(),
        SqlToken::Name(name) => format!("<{name}>"),
        SqlToken::Text(text) => format!("'{text}'"),
        SqlToken::Hex(digits) => format!("x{digits}"),
        SqlToken::Bits(digits) => format!("b{digits}"),
        SqlToken::Sign(sign) => sign.to_string(),
    };
    tokens.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn text_is_cut_where_the_server_cuts_it() {
    for (text, expected) in [
        ("ALTER TABLE `we``ird` ADD c$1 INT", "ALTER TABLE <we`ird> ADD c$1 INT"),
        ("a.`b`,'it''s' \"q\"\"q\"", "a . <b> , 'it's' 'q\"q'"),
        ("'a\\'b\\\\' '\\n\\%'", "'a'b\\' '\n\\%'"),
        ("a /* b 'c */ d -- e\nf # g\nh--i", "a d f h - - i"),
        ("a--\tb\nc --", "a c"),
        ("a /*!80000 b */ c /*! d*/ e /*!080023f*/", "a b c d e f"),
        ("a /*!80000 b /* c */ d */ e", "a b d e"),
        ("3 */ 4", "3 * / 4"),
        ("x'41' b'0' X '41' _utf8'z' n'z' N 'z'", "x41 b0 X '41' _utf8 'z' 'z' N 'z'"),
        ("größe 2024_x 1.5 1.from 2.", "größe 2024_x 1.5 1. from 2."),
        (
            "shop.table shop .select shop. table `s`.values table.x",
            "<shop> . <table> shop . <select> shop . table <s> . <values> <table> . <x>",
        ),
        ("s.1table s.x'1'", "<s> . <1table> <s> . <x> '1'"),
        ("$select sel$ect a.$select", "$select sel$ect <a> . <$select>"),
        (
            "@select @@global.table root@local.host @`a` @'b'",
            "@ <select> @ @ <global.table> root @ <local.host> @ <a> @ 'b'",
        ),
        ("'open", "refused"),
        ("'open\\", "refused"),
        ("/* open", "refused"),
        ("`open\\`", "<open\\>"),
        ("a # b\0c", "a c"),
    ] {
        assert_eq!(shown(text.as_bytes(), Charset::Utf8, PLAIN), expected, "{text}");
    }
}

#[test]
fn modes_change_what_quotes_mean() {
    let both = Modes { ansi_quotes: true, no_backslash_escapes: true };
    for (text, modes, expected) in [
        ("\"a\"\"b\" 'c\\' `d`", both, "<a\"b> 'c\\' <d>"),
        ("\"a\\\" b", ANSI, "<a\\> b"),
        ("\"a\\\" b\"", PLAIN, "'a\" b'"),
        ("'c:\\' select", NO_ESCAPES, "'c:\\' select"),
        ("\"c:\\\" select", NO_ESCAPES, "'c:\\' select"),
    ] {
        assert_eq!(shown(text.as_bytes(), Charset::Utf8, modes), expected, "{text}");
    }
    assert_eq!(Modes::of_bits(4 | 1 << 20), both);
    assert_eq!(Modes::of_bits(!(4 | 1 << 20)), PLAIN);
}

#[test]
fn a_last_byte_that_looks_like_a_sign_is_part_of_its_character() {
    for (set, text, expected) in [
        ("sjis", &b"'\x95\x5c' select"[..], "'表' select"),
        ("cp932", b"'\x83\x5c' select", "'ソ' select"),
        ("gbk", b"'\xbf\x5c' select", "'縗' select"),
        ("gb18030", b"'\xbf\x5c' select", "'縗' select"),
        ("big5", b"'\xa5\x5c' select", "'功' select"),
        // The last byte is that of a backquote.
        ("sjis", b"`\x83\x60` \x83\x60", "<チ> チ"),
        ("gbk", b"`\x81\x60` x", "<乣> x"),
        // In a set of one byte, or without a whole character, it is a backslash.
        ("latin1", b"'\x95\x5c' select'", "'•' select'"),
        ("gbk", b"'\\\xbf\\' x'", "'\u{fffd}' x'"),
        ("euckr", b"'\xb0\x5c'' select", "'\u{fffd}'' select"),
        // Spaces that do not break.
        ("latin1", b"DROP\xa0TABLE t", "DROP TABLE t"),
        ("cp1251", b"DROP\xa0TABLE t", "DROP TABLE t"),
        ("utf8mb4", b"DROP\xc2\xa0TABLE t", "DROP\u{a0}TABLE t"),
        ("latin1", b"gr\xf6\xdfe", "größe"),
    ] {
        assert_eq!(shown(text, charset(set), PLAIN), expected, "{set} {text:x?}");
    }
    assert_eq!(shown(b"'\x95\x5c' x", charset("sjis"), NO_ESCAPES), "'表' x");
}

#[test]
fn a_statement_is_refused_if_its_event_does_not_say_how_to_read_it() {
    let charsets = Charsets::new([(1, "big5".to_string()), (2, "utf64".to_string())]);
    let query = |text, sql_mode, charset_client| Query { text, sql_mode, charset_client, ..Query::default() };
    for (text, sql_mode, charset_client, is_read) in [
        (&b"a"[..], None, None, true),
        (b"'\xc3\xa9'", Some(0), Some(1), true),
        (b"'\xc3\xa9'", Some(0), Some(2), false),
        (b"'\xc3\xa9'", Some(0), None, false),
        (b"'a'", None, Some(1), true),
        (b"\"a\"", None, Some(1), false),
        (b"'a\\n'", None, Some(1), false),
    ] {
        assert_eq!(tokens_of(&query(text, sql_mode, charset_client), &charsets).is_some(), is_read, "{text:?}");
    }
}

#[test]
fn commas_count_outside_parentheses_only() {
    let read = tokens(b"a (b, c), d", Charset::Utf8, PLAIN).expect("tokens");
    assert_eq!(split_at_commas(&read).expect("parts").len(), 2);
    assert_eq!(split_at_commas(&read[1..3]), None);
    let (inside, after) = group(&read[1..]).expect("a group");
    assert_eq!((inside.len(), after.len()), (3, 2));
    assert_eq!(position_outside(&read, |rest| rest[0].is("D")), Some(7));
    assert_eq!(position_outside(&read, |rest| rest[0].is("C")), None);
}

const SETS: [&str; 12] =
    ["utf8mb4", "binary", "ascii", "latin1", "sjis", "cp932", "gbk", "gb18030", "big5", "euckr", "ujis", "swe7"];

/// Bytes among which those are frequent that mean something to the lexer.
fn byte() -> impl proptest::strategy::Strategy<Value = u8> {
    use proptest::prelude::*;
    let signs = proptest::sample::select(&b"'\"`\\/*!-#.@xXbn0 \n\0;(,)eA\x81\x95\xbf\xa0\x5c\x60"[..]);
    prop_oneof![3 => signs, 1 => any::<u8>()]
}

proptest::proptest! {
    #[test]
    fn pieces_cover_any_text_and_nothing_panics(
        text in proptest::collection::vec(byte(), 0..200),
        set in proptest::sample::select(&SETS[..]),
        ansi_quotes: bool,
        no_backslash_escapes: bool,
    ) {
        let (mut end, mut is_over) = (0, false);
        for (span, piece) in Lexer::new(&text, charset(set), Modes { ansi_quotes, no_backslash_escapes }) {
            proptest::prop_assert!(!is_over, "nothing comes after what does not end");
            proptest::prop_assert_eq!(span.start, end);
            proptest::prop_assert!(span.end > span.start);
            end = span.end;
            is_over = piece == SqlPiece::Unended;
        }
        proptest::prop_assert_eq!(end, text.len());
    }

    #[test]
    fn whatever_stands_in_quotes_comes_out_as_one_text(content in "\\PC{0,40}") {
        for (quote, has_escapes) in [('\'', true), ('"', true), ('`', false)] {
            let mut inside = content.replace(quote, &format!("{quote}{quote}"));
            if has_escapes {
                inside = inside.replace('\\', "\\\\");
            }
            let text = format!("SELECT {quote}{inside}{quote} FROM t");
            let read = tokens(text.as_bytes(), Charset::Utf8, PLAIN).expect("tokens");
            let token = if has_escapes { SqlToken::Text(content.clone()) } else { SqlToken::Name(content.clone()) };
            proptest::prop_assert_eq!(&read[1..2], &[token]);
            proptest::prop_assert_eq!(read.len(), 4);
        }
    }
}
