//! Values that try to leave the place where a rule puts them, and what a reader makes of the whole: a form, an XML text.

use ::url::form_urlencoded;
use roxmltree::Document;

use super::*;

/// Each is a text that a row may hold.
const VALUES: &[&str] = &[
    "",
    " ",
    "  two  blanks  ",
    "plain",
    "a&b=c",
    "&admin=true",
    "a=b",
    "==",
    "%26x%3D1",
    "%",
    "%zz",
    "+1 555",
    "a+b",
    "a;b",
    "a\nb",
    "a\r\nb",
    "\r\n\r\nGET / HTTP/1.1\r\n",
    "\t",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}\u{2029}",
    "]",
    "[0]",
    "[]",
    "][admin]=1",
    "a[b]=c",
    "__proto__",
    "constructor[prototype]",
    "<",
    ">",
    "&",
    "\"",
    "'",
    "</note>",
    "<admin/>",
    "</order><order id=\"2\">",
    "<![CDATA[x]]>",
    "]]>",
    "<!-- x -->",
    "-->",
    "<?xml version=\"1.0\"?>",
    "<!DOCTYPE x [<!ENTITY e 'v'>]>",
    "&e;",
    "&amp;",
    "&#60;",
    "&lt;b&gt;",
    "\" onload=\"x",
    "' other='x",
    "a\"b'c",
    "{{ env.TOKEN }}",
    "{% if true %}x{% endif %}",
    "{# x #}",
    "${x}",
    "$(id)",
    "`id`",
    "\\",
    "\\u0041",
    "\\\"",
    "{\"a\": 1}",
    "[1, 2]",
    "null",
    "true",
    "0",
    "-1",
    "1e3",
    "NaN",
    "Ünïcödé",
    "日本語",
    "😀",
    "👩‍👩‍👧",
    "e\u{301}",
    "\u{202e}abc",
    "\u{feff}x",
    "\u{fffd}",
    "\u{10ffff}",
    "../../etc/passwd",
    "http://a.test/?a=b#c",
    "a@b.test",
    "'; DROP TABLE orders; --",
];

/// What no XML text can hold, in whatever spelling.
const NO_XML: &[&str] =
    &["\0", "a\0b", "\u{1}", "\u{8}", "\u{b}", "\u{c}", "\u{1b}[31m", "\u{1f}", "\u{fffe}", "\u{ffff}"];

#[test]
fn there_are_enough_of_them() {
    assert!(VALUES.len() + NO_XML.len() >= 60, "{}", VALUES.len());
}

fn form(source: &[(&str, &str)], lists: FormLists, change: &Arc<Change>) -> Result<Vec<(String, String)>, String> {
    let members = source.iter().map(|(name, text)| {
        let template = TextTemplate::compile(text, &no_env).expect("compiles");
        (Box::from(*name), BodyTemplate::Text(template))
    });
    let mut out = b"before".to_vec();
    let form = FormTemplate::new(members.collect(), lists);
    form.render(&scope(change), &mut out).map_err(|error| error.to_string())?;
    let form = out.strip_prefix(b"before").expect("what stood before is left");
    Ok(form_urlencoded::parse(form).into_owned().collect())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_value_of_a_form_stays_in_its_field() {
    for value in VALUES.iter().chain(NO_XML) {
        let source =
            [("a", "{{ row.status }}"), ("b[c]", "x{{ row.status }}"), ("d", "{{ row.status ~ '' }}"), ("e", "1")];
        let expected = [("a", *value), ("b[c]", &format!("x{value}")), ("d", value), ("e", "1")];
        assert_eq!(form(&source, FormLists::Indices, &insert(value)), Ok(pairs(&expected)), "{value:?}");
    }
}

#[test]
fn a_value_of_an_xml_text_stays_in_its_place() {
    let simple = "<o id=\"{{ row.status }}\" b='{{ row.status ~ '' }}'><n>{{ row.status }}</n>{{ row.total }}</o>";
    let program = "<o id=\"{% if true %}{{ row.status }}{% endif %}\" b='{{ row.status }}'><n>{{ row.status }}</n>{{ row.total }}</o>";
    for source in [simple, program] {
        let template = TextTemplate::compile_xml(source, &no_env).expect("compiles");
        for value in VALUES {
            let text = template.render(&scope(&insert(value))).unwrap_or_else(|error| panic!("{value:?}: {error}"));
            let document = Document::parse(&text).unwrap_or_else(|error| panic!("{value:?}: {error}\n{text}"));
            let order = document.root_element();
            let note = order.first_element_child().expect("an element");
            let read = [order.attribute("id"), order.attribute("b"), Some(note.text().unwrap_or_default())];
            assert_eq!(read, [Some(*value); 3], "{text}");
            assert_eq!((order.children().count(), order.attributes().count()), (2, 2), "{text}");
            assert_eq!(order.last_child().and_then(|last| last.text()), Some("12.30"), "{text}");
        }
        for value in NO_XML {
            let error = template.render(&scope(&insert(value))).expect_err("no XML holds it");
            assert_eq!(error, Error::NoXmlCharacter, "{value:?}");
        }
    }
}

#[test]
fn what_is_called_safe_is_not_escaped() {
    for source in ["<o>{{ row.status | safe }}</o>", "<o>{% if true %}{{ row.status | safe }}{% endif %}</o>"] {
        let template = TextTemplate::compile_xml(source, &no_env).expect("compiles");
        assert_eq!(template.render(&scope(&insert("<a>1</a>"))).as_deref(), Ok("<o><a>1</a></o>"), "{source}");
    }
}

#[test]
fn a_value_stands_only_where_it_can_be_escaped() {
    for (source, message) in [
        ("<{{ row.status }}/>", "it could add attributes"),
        ("<a {{ row.status }}='x'/>", "it could add attributes"),
        ("<a x={{ row.status }}/>", "it could add attributes"),
        ("<a x='1'{{ row.status }}/>", "it could add attributes"),
        ("<!-- {{ row.status }} -->", "in an XML comment"),
        ("<a><![CDATA[{{ row.status }}]]></a>", "leave `<![CDATA[` and `]]>` out"),
        ("<?x {{ row.status }}?><a/>", "in `<?…?>` or `<!…>`"),
        ("<!DOCTYPE {{ row.status }}><a/>", "in `<?…?>` or `<!…>`"),
        ("<a>{% if op == 'insert' %}<b {{ row.status }}/>{% endif %}</a>", "it could add attributes"),
    ] {
        let flaws = TextTemplate::compile_xml(source, &no_env).expect_err(source);
        assert!(flaws[0].message.contains(message), "{source}: {}", flaws[0].message);
        let at = source.find("{{").expect("a value") + 1;
        assert_eq!((flaws.len(), flaws[0].line, flaws[0].column), (1, 1, at), "{source}");
    }
    for source in [
        "{{ row.status }}",
        "<a>{{ row.status }}</a>",
        "<!-- <a --><a b=\"'{{ row.status }}'\" c='\"{{ row.status }}\"'>{{ row.status }}<b/>{{ row.status }}</a>",
        "<?xml version='1.0'?><!DOCTYPE a><a><![CDATA[<x y=]]>{{ row.status }}</a>",
    ] {
        TextTemplate::compile_xml(source, &no_env).expect(source);
    }
}

#[test]
fn documents_of_a_row_become_nested_fields() {
    let insert = insert("x");
    for (source, lists, expected) in [
        (
            "{{ row.doc }}",
            FormLists::Indices,
            pairs(&[("f[a][0]", "1"), ("f[a][1]", "18446744073709551615"), ("f[price]", "12345678901234567890.12")]),
        ),
        (
            "{{ row.doc }}",
            FormLists::Brackets,
            pairs(&[("f[a][]", "1"), ("f[a][]", "18446744073709551615"), ("f[price]", "12345678901234567890.12")]),
        ),
        ("{{ row.tags }}", FormLists::Repeat, pairs(&[("f", "red"), ("f", "blue")])),
        ("{{ row.doc.a }}", FormLists::Repeat, pairs(&[("f", "1"), ("f", "18446744073709551615")])),
        ("{{ row.total }}", FormLists::Indices, pairs(&[("f", "12.30")])),
        ("{{ row.total > 5 }}", FormLists::Indices, pairs(&[("f", "true")])),
        ("{{ row.note or omit }}", FormLists::Indices, vec![]),
        ("{{ row.raw }}", FormLists::Indices, pairs(&[("f", "AP8=")])),
    ] {
        assert_eq!(form(&[("f", source)], lists, &insert), Ok(expected), "{source}");
    }
    for (source, message) in [
        ("{{ row.note }}", "NULL has no form; give a replacement"),
        ("{{ row.note ~ '' }}", "NULL"),
        ("x {{ row.note or omit }}", "`omit` can't be a part of a text"),
        ("{{ {'a]b': 1} }}", "a name within the value has `[` or `]`"),
        ("{{ row.doc.none }}", "`row.doc.none` is undefined"),
    ] {
        fails_with(form(&[("f", source)], FormLists::Indices, &insert), message);
    }
}

#[test]
fn omit_leaves_out_members_and_elements_of_a_body_and_nothing_else() {
    let insert = insert("x");
    let object = |members: Vec<(&str, BodyTemplate)>| {
        BodyTemplate::Object(members.into_iter().map(|(name, member)| (name.into(), member)).collect())
    };
    let text = |source: &str| BodyTemplate::Text(TextTemplate::compile(source, &no_env).expect("compiles"));
    let body = object(vec![
        ("first", text("{{ omit }}")),
        ("kept", text("{{ row.status }}")),
        ("gone", text("{{ row.note or omit }}")),
        ("nested", object(vec![("gone", text("{{ omit if row.note is none else row.note }}"))])),
        ("list", BodyTemplate::List(vec![text("{{ omit }}"), text("1"), text("{{ omit }}"), text("2")])),
    ]);
    let mut out = Vec::new();
    body.render(&scope(&insert), &mut out).expect("renders");
    assert_eq!(String::from_utf8_lossy(&out), r#"{"kept":"x","nested":{},"list":["1","2"]}"#);
    for (source, message) in [
        ("{{ omit }}", "`omit` stands for a whole member"),
        ("x{{ omit }}", "`omit` can't be a part of a text"),
        ("{% if true %}{{ omit }}{% endif %}", "`omit` can't be a part of a text"),
        ("{{ [omit] }}", "`omit` stands for a whole member"),
    ] {
        let mut out = Vec::new();
        let rendered = text(source).render(&scope(&insert), &mut out).map_err(|error| error.to_string());
        fails_with(rendered.map(|()| String::from_utf8_lossy(&out).into_owned()), message);
    }
    let flaws = Condition::compile("row.note == omit", "r", &no_env).expect_err("a condition sends nothing");
    assert!(flaws[0].message.contains("a condition has none"), "{}", flaws[0].message);
}
