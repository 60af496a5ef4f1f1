//! The JSON Schemas against the loader.
//!
//! Whatever the loader takes the schemas take: `load` of all these tests asks them, too. What is wrong in shape they refuse;
//! the mistakes that they can't see are listed in `loader_alone`, by the reason. `every_key` compares keys and words.

mod every_key;
mod loader_alone;

use std::fs;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Map, Value as Json};

use super::super::yaml::{self, Node, NodeKind};
use super::*;
use serde_saphyr::granit_parser::ScalarStyle;

/// The schemas, ready to be asked.
struct JsonSchemas {
    schemas: Schemas,
    rules: SchemaIndex,
    targets: SchemaIndex,
}

impl JsonSchemas {
    fn new() -> JsonSchemas {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let mut compile = |name: &str, text: &str| {
            let location = format!("https://rowhook.test/{name}.json");
            compiler.add_resource(&location, serde_json::from_str(text).expect("JSON")).expect("a resource");
            compiler.compile(&location, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"))
        };
        let (rules, targets) = (compile("rules", RULES_JSON_SCHEMA), compile("targets", TARGETS_JSON_SCHEMA));
        JsonSchemas { schemas, rules, targets }
    }

    /// What is wrong with a file by its schema.
    fn refusal(&self, file: &Json) -> Option<String> {
        let is_of_targets = ["targets", "defaults"].iter().any(|key| file.get(key).is_some());
        let schema = if is_of_targets && file.get("rules").is_none() { self.targets } else { self.rules };
        self.schemas.validate(file, schema).err().map(|error| error.to_string())
    }
}

thread_local! {
    static JSON_SCHEMAS: JsonSchemas = JsonSchemas::new();
}

/// Panics where schema and loader disagree about a file: the loader takes what the schema refuses, or refuses for its shape
/// what the schema takes.
#[track_caller]
pub(in crate::rules) fn assert_schema_agrees<T>(text: &str, loaded: &Result<T, Diagnostics>) {
    let problems: &[Diagnostic] = loaded.as_ref().err().map_or(&[], |Diagnostics(problems)| problems);
    let Some(file) = read(text) else { return };
    match JSON_SCHEMAS.with(|schemas| schemas.refusal(&file)) {
        Some(refusal) => assert!(!problems.is_empty(), "the loader takes what the schema refuses: {refusal}\n{text}"),
        None => {
            let root =
                yaml::read(Path::new("f.yaml"), text, yaml::RULE_FILES, &mut Vec::new()).expect("YAML, as before");
            let unexplained = problems.iter().filter(|problem| {
                let keys = problem.place.map_or(Vec::new(), |place| keys_above(&root, place));
                !loader_alone::explains(&keys, &problem.message)
            });
            let unexplained: Vec<String> = unexplained.map(ToString::to_string).collect();
            assert!(
                unexplained.is_empty(),
                "the schema takes a mistake; let it refuse it, or add it to src/rules/tests/json_schema/loader_alone.rs:\n{}\n{text}",
                unexplained.join("\n")
            );
        }
    }
}

/// A file as an editor gives it to a schema. None: an editor refuses it as YAML.
pub(crate) fn read(text: &str) -> Option<Json> {
    let mut problems = Vec::new();
    yaml::read(Path::new("f.yaml"), text, yaml::RULE_FILES, &mut problems)
        .filter(|_| problems.is_empty())
        .map(|root| json(&root))
}

fn json(node: &Node) -> Json {
    match &node.kind {
        NodeKind::Scalar { text, style: ScalarStyle::Plain } => plain(text),
        NodeKind::Scalar { text, .. } => Json::from(text.as_str()),
        NodeKind::List(items) => items.iter().map(json).collect(),
        NodeKind::Map(members) => {
            Json::Object(members.iter().map(|(key, node)| (key.text.clone(), json(node))).collect::<Map<_, _>>())
        }
    }
}

/// The keys that lead to the value at a place, from the top.
fn keys_above(node: &Node, place: FilePlace) -> Vec<&str> {
    match &node.kind {
        NodeKind::Scalar { .. } => Vec::new(),
        NodeKind::List(items) => {
            items.iter().rfind(|item| item.at <= place).map_or(Vec::new(), |item| keys_above(item, place))
        }
        NodeKind::Map(members) => {
            let own = members.iter().rfind(|(key, _)| key.at <= place);
            own.map_or(Vec::new(), |(key, value)| [vec![key.text.as_str()], keys_above(value, place)].concat())
        }
    }
}

/// An unquoted scalar, by the core schema of YAML 1.2 (section 10.3.2).
fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::from(true),
        "false" | "False" | "FALSE" => return Json::from(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = text.parse::<i64>().ok().filter(|_| is_integer) {
        return Json::from(number);
    }
    let is_float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse::<f64>().ok().filter(|_| is_float) {
        Some(number) => Json::from(number),
        None => Json::from(text),
    }
}

#[test]
fn the_schemas_take_every_rule_file_of_the_repository_and_its_documentation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a readable file");
    let files_of = |folder: &str, ending: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join(folder)).expect("a folder");
        entries
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|e| e == ending))
            .collect()
    };
    let mut texts: Vec<String> = Vec::new();
    for folder in ["rules", "rules/write-back"] {
        texts.extend(files_of(folder, "yaml").iter().map(|path| read(path)));
    }
    for page in files_of("docs", "md").into_iter().chain([root.join("README.md")]) {
        texts.extend(
            yaml_blocks(&read(&page)).filter(|block| block.starts_with("table:") || block.starts_with("targets:")),
        );
    }
    assert!(texts.len() > 12, "only {} files were found", texts.len());
    for text in texts {
        let file = super::json_schema::read(&text).unwrap_or_else(|| panic!("no YAML:\n{text}"));
        let refusal = JSON_SCHEMAS.with(|schemas| schemas.refusal(&file));
        assert_eq!(refusal, None, "{text}");
    }
}

/// The blocks of YAML on a page.
fn yaml_blocks(page: &str) -> impl Iterator<Item = String> {
    page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()))
}

#[test]
fn the_schemas_agree_with_the_loader_about_hostile_files() {
    for (_, text, _) in attacks::attacks() {
        assert_schema_agrees(&text, &compile(&text));
    }
}

/// The files that `tests/it/mistakes.rs` runs the program on.
#[test]
fn the_schemas_agree_with_the_loader_about_the_mistakes_of_newcomers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mistakes/rules");
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            files += 1;
            let text = fs::read_to_string(path).expect("a readable file");
            assert_schema_agrees(&text, &compile(&text));
        }
    }
    assert!(files > 50, "only {files} files were found");
}
