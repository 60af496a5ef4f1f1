//! What holds for any template and any value.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_text_makes_the_compilers_panic(source in "(row|old|\\.|id|[-+*/~<>=!|()\\[\\]{}%,:'\"#? \\n]|is|not|in|if|for|set|é|1|\\PC){0,40}") {
        let _ = Condition::compile(&source, "r", &no_env).map(|condition| condition.holds(&update()));
        let _ = TextTemplate::compile(&source, &no_env).map(|template| template.render(&scope(&update())));
        let _ = UrlTemplate::compile(&format!("http://a.test/{source}"), &no_env).map(|url| url.render(&scope(&update())));
    }

    #[test]
    fn a_rendered_url_keeps_its_origin_and_the_number_of_its_segments(status in any::<String>()) {
        let template = UrlTemplate::compile("http://a.test:81/o/{{ row.status }}/i?q={{ row.status }}", &no_env).expect("compiles");
        if let Ok(url) = template.render(&scope(&insert(&status))) {
            prop_assert_eq!(Some(url.origin()), template.origin());
            prop_assert_eq!(url.path_segments().map(Iterator::count), Some(3));
            let query: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!((query.len(), &*query[0].1), (1, &*status));
        } else {
            prop_assert!(["", ".", ".."].contains(&&*status));
        }
    }

    #[test]
    fn a_rendered_body_is_valid_json_and_keeps_texts(status in any::<String>()) {
        let change = insert(&status);
        let object = vec![
            ("typed".into(), "{{ row.status }}"), (status.as_str().into(), "x{{ row.status }}y"),
            ("map".into(), "{{ {'a': row.status, 'b': [row.status, row.total]} }}"),
            ("statement".into(), "{% if true %}{{ row.status }}{% endif %}"),
        ];
        let compile = |source| BodyTemplate::Text(TextTemplate::compile(source, &no_env).expect("compiles"));
        let body = BodyTemplate::Object(object.into_iter().map(|(name, source)| (name, compile(source))).collect());
        let mut out = Vec::new();
        body.render(&scope(&change), &mut out).expect("renders");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        if !["typed", "map", "statement"].contains(&&*status) {
            prop_assert_eq!(json["typed"].as_str(), Some(&*status));
            prop_assert_eq!(json["map"]["b"][0].as_str(), Some(&*status));
            prop_assert_eq!(json["statement"].as_str(), Some(&*status));
            prop_assert_eq!(json[&*status].as_str(), Some(&*format!("x{status}y")));
        }
    }

    #[test]
    fn rewritten_operators_agree_with_the_engine_on_integers(
        a in -9i64..9, b in -9i64..9, c in 1i64..9,
        first in "(\\+|-|\\*|//|%|<|<=|==|!=|>|>=)", second in "(\\+|-|\\*)",
    ) {
        let source = format!("{a} {first} {b} {second} {c} {first} {c}");
        let ours = text(&format!("{{{{ {source} }}}}"), &update());
        let engine = minijinja::Environment::new().compile_expression(&source).expect("compiles").eval(());
        match engine {
            Ok(value) if ours.is_ok() => prop_assert_eq!(ours.map(|o| o.to_lowercase()), Ok(value.to_string().to_lowercase())),
            engine => prop_assert!(engine.is_err() || ours.expect_err("refused").contains("and b <"), "{}", source),
        }
    }
}
