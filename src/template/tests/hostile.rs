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
        let template = TextTemplate::compile_optional(text, &no_env).expect("compiles");
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
        let template = TextTemplate::compile_markup(source, Markup::Xml, &no_env).expect("compiles");
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
        let template = TextTemplate::compile_markup(source, Markup::Xml, &no_env).expect("compiles");
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
        let flaws = TextTemplate::compile_markup(source, Markup::Xml, &no_env).expect_err(source);
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
        TextTemplate::compile_markup(source, Markup::Xml, &no_env).expect(source);
    }
}

#[test]
fn a_value_of_html_stands_neither_in_scripts_nor_in_styles() {
    use Markup::{Html, Xhtml, Xml};
    for (source, message) in [
        ("<p>{{ row.id }}<script>let a = '{{ row.status }}';</script>", "can't stand in `<script>`"),
        ("<SCRIPT type=\"module\">'{{ row.status }}'</SCRIPT>", "can't stand in `<script>`"),
        ("<script>a</scripts>{{ row.status }}</script>", "can't stand in `<script>`"),
        ("<script>{{ row.status | tojson | safe }}</script>", "can't stand in `<script>`"),
        ("<script>if (a > b) { x = \"<p>{{ row.status }}</p>\" }</script>", "can't stand in `<script>`"),
        ("<style\n>p { color: {{ row.status }} }</style>", "can't stand in `<style>`"),
        ("<iframe>{{ row.status }}</iframe>", "can't stand in `<iframe>`"),
        ("<p onclick=\"f('{{ row.status }}')\">", "in an attribute that is run"),
        ("<p class='a' onClick = '{{ row.status }}'>", "in an attribute that is run"),
        ("<iframe srcdoc=\"{{ row.status }}\">", "in an attribute that is run"),
        ("<script src=\"{{ row.status }}\">'{{ row.status }}'</script>", "can't stand in `<script>`"),
        ("<!-- <script> {{ row.status }} -->", "in an XML comment"),
    ] {
        for markup in [Html, Xhtml] {
            let flaws = TextTemplate::compile_markup(source, markup, &no_env).expect_err(source);
            assert!(flaws[0].message.contains(message), "{source}: {}", flaws[0].message);
            assert_eq!(flaws.len(), 1, "{source}");
        }
    }
    let self_closed = "<script src='a.js'/><p>{{ row.status }}</p>";
    let flaws = TextTemplate::compile_markup(self_closed, Html, &no_env).expect_err("HTML has no such end");
    assert!(flaws[0].message.contains("can't stand in `<script>`"), "{}", flaws[0].message);
    TextTemplate::compile_markup(self_closed, Xhtml, &no_env).expect("XML has it");
    for source in [
        "<script src=\"{{ row.status }}\"></script><p class=\"on {{ row.status }}\" data-on='{{ row.id }}'>{{ row.status }}</p>",
        "<style>p > a { color: red }</style ><scripts>{{ row.status }}</scripts>",
        "<title>{{ row.status }}</title><textarea>{{ row.status }}</textarea><p style=\"width: 1px\" title='{{ row.id }}'>",
    ] {
        for markup in [Html, Xhtml] {
            TextTemplate::compile_markup(source, markup, &no_env).expect(source);
        }
    }
    let plain_xml =
        "<order online=\"{{ row.id }}\"><style>{{ row.status }}</style><script>{{ row.status }}</script></order>";
    TextTemplate::compile_markup(plain_xml, Xml, &no_env).expect("names mean nothing");
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
    let text = |source: &str| BodyTemplate::Text(TextTemplate::compile_optional(source, &no_env).expect("compiles"));
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
    for source in [
        "{{ row.note | default(omit, true) }}",
        "{{ row.doc.none | default(omit) }}",
        "{{ row.doc.none | default(row.note or omit) | default('x') }}",
        "{{ (omit if op == 'insert' else row.id) or 'x' }}",
        "{{ op == 'insert' and omit }}",
    ] {
        let gone = object(vec![("gone", text(source))]);
        let mut out = Vec::new();
        gone.render(&scope(&insert), &mut out).expect("renders");
        assert_eq!(String::from_utf8_lossy(&out), "{}", "{source}");
    }
}

#[test]
fn omit_is_refused_where_it_is_not_the_whole_value_of_what_can_be_left_out() {
    for source in [
        "x{{ omit }}",
        "{{ row.note or omit }} ",
        "{% if true %}{{ omit }}{% endif %}",
        "{% set gone = omit %}{{ gone }}",
        "{% if omit %}x{% endif %}",
        "{{ [row.id, omit] }}",
        "{{ {'a': omit} }}",
        "{{ [row.note or omit] | join(',') }}",
        "{{ 'x' ~ (row.note or omit) }}",
        "{{ omit + 1 }}",
        "{{ omit == row.id }}",
        "{{ row.id in [omit] }}",
        "{{ omit is none }}",
        "{{ not omit }}",
        "{{ omit and row.id }}",
        "{{ row.id if omit else 1 }}",
        "{{ (row.note or omit) | upper }}",
        "{{ (row.note or omit) | string }}",
        "{{ (row.note or omit) | base64 }}",
        "{{ row.status | replace('x', omit) }}",
        "{{ row.status | trim(omit) }}",
        "{{ row.tags | map('x', omit) }}",
        "{{ row.note | default('x', omit) }}",
        "{{ row.doc[omit] }}",
        "{{ (row.note or omit)[:1] }}",
        "{{ (row.note or omit).a }}",
    ] {
        let flaws = TextTemplate::compile_optional(source, &no_env).expect_err(source);
        assert!(flaws[0].message.contains("here nothing can be left out"), "{source}: {}", flaws[0].message);
    }
    let refused = |flaws: Vec<Flaw>| flaws[0].message.contains("here nothing can be left out");
    assert!(TextTemplate::compile("{{ row.note or omit }}", &no_env).is_err_and(refused));
    assert!(TextTemplate::compile_markup("<a>{{ row.note or omit }}</a>", Markup::Xml, &no_env).is_err_and(refused));
    assert!(UrlTemplate::compile("http://a.test/{{ row.note or omit }}", &no_env).is_err_and(refused));
    assert!(Condition::compile("row.note == omit", "r", &no_env).is_err_and(refused));
}
