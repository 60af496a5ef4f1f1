//! The JSON Schema of the settings file against what reads it.

use std::fmt;

use boon::{Compiler, Schemas};
use clap::{Parser, ValueEnum};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::Value as Json;

use super::super::*;
use crate::rules::AlertRule;

/// The names of the fields that a struct asks for.
struct FieldNames<'n>(&'n mut Vec<&'static str>);

#[derive(Debug)]
struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the names were asked for")
    }
}

impl std::error::Error for Asked {}

impl de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Asked {
        Asked
    }
}

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        self.0.extend(fields);
        Err(Asked)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn schema() -> Json {
    serde_json::from_str(&crate::rules::with_definitions_of_rules(SETTINGS_JSON_SCHEMA)).expect("JSON")
}

/// What is wrong with a settings file by its schema.
fn refusal(file: &Json) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let location = "https://rowhook.test/settings.json";
    compiler.add_resource(location, schema()).expect("a resource");
    let index = compiler.compile(location, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    schemas.validate(file, index).err().map(|error| error.to_string())
}

/// YAML 1.2, in which `off` is a text.
fn as_editors_read(text: &str) -> Json {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).expect("YAML")
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    deliveries: DeliveryLogArgs,
}

/// What is wrong with a settings file by what reads it.
fn loaded(text: &str) -> Result<(), String> {
    let file = File::parse(text).map_err(|error| error.to_string())?;
    let line = Line::try_parse_from(["run"]).expect("no arguments");
    let log = line.log.resolve(&file).map(drop);
    let source = line.source.resolve(&file).map(drop);
    let run = line.run.resolve(&file).map(drop);
    let journal = line.journal.resolve(&file).map(drop);
    let deliveries = line.deliveries.resolve(&file).map(drop);
    let alerts = AlertRule::load(Path::new("rowhook.yaml"), text, &|_| None).map(drop);
    log.and(source).and(run).and(journal).and(deliveries).map_err(|error| error.to_string())?;
    alerts.map_err(|problems| problems.to_string())
}

#[test]
fn the_schema_has_the_keys_of_the_settings_file_each_described() {
    let mut names = Vec::new();
    File::deserialize(FieldNames(&mut names)).expect_err("names alone");
    names.sort_unstable();
    let schema = schema();
    let properties = schema["properties"].as_object().expect("properties");
    assert_eq!(properties.keys().collect::<Vec<_>>(), names, "keys of the schema, keys of the settings file");
    for (name, property) in properties {
        let description = property["description"].as_str().unwrap_or_else(|| panic!("{name} has no description"));
        let default = &property["default"];
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        assert!(
            property["default"].is_null() || description.contains(&format!("Default: {default}.")),
            "{name}: {description}"
        );
    }
}

#[test]
fn the_schema_has_the_words_of_the_settings_file() {
    fn words<T: ValueEnum>() -> Vec<String> {
        let values = T::value_variants().iter().filter_map(|value| value.to_possible_value());
        values.map(|value| value.get_name().to_owned()).collect()
    }
    let schema = schema();
    let of = |key: &str| {
        let words = schema["properties"][key]["enum"].as_array().unwrap_or_else(|| panic!("{key} has no words"));
        words.iter().filter_map(Json::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("tls"), words::<TlsMode>());
    assert_eq!(of("log_format"), words::<LogFormat>());
}

#[test]
fn the_schema_takes_what_is_loaded_and_refuses_what_is_not() {
    for (line, is_sound) in [
        ("window: 5", true),
        ("mysql_user: 5", true),
        ("data:", true),
        ("tls: verify-identity", true),
        ("server_id: 4294967295", true),
        ("start: binlog.000123:4", true),
        ("start: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77", true),
        ("admin: off", true),
        ("admin: '[::1]:8055'", true),
        ("shutdown_timeout: 1m 30s", true),
        ("shutdown_timeout: 0s", true),
        ("watch: false", true),
        ("log: info,rowhook::source=debug", true),
        ("log_format: json", true),
        ("journal: {keep: 7d, max: 10 GiB}", true),
        ("journal: {}", true),
        ("journal:", true),
        ("journal: true", false),
        ("journal: {kept: 7d}", false),
        ("journal: {keep: 7}", false),
        ("journal: {keep: soon}", false),
        ("journal: {max: 10 GB}", false),
        ("alerts:", true),
        ("alerts: [{name: a, call: {url: 'http://a.test/'}}]", true),
        ("alerts: [{name: a, call: {url: 'http://a.test/', headers: {a: b}}, every: 30s, repeat: none}]", true),
        ("alerts: [{name: a, conditions: late, call: {url: 'http://a.test/'}}]", true),
        ("alerts: [{name: a, conditions: [late, disk], call: {url: 'http://a.test/'}}]", true),
        (
            "alerts: [{name: a, conditions: {late: 9m, disk: true, paused: , dead_letters: 3}, call: {url: 'http://a.test/'}}]",
            true,
        ),
        ("alerts: {name: a, call: {url: 'http://a.test/'}}", false),
        ("alerts: [{name: a}]", false),
        ("alerts: [{call: {url: 'http://a.test/'}}]", false),
        ("alerts: [{name: a, call: {url: 'a.test'}}]", false),
        ("alerts: [{name: a, on: insert, call: {url: 'http://a.test/'}}]", false),
        ("alerts: [{name: a, conditions: [latte], call: {url: 'http://a.test/'}}]", false),
        ("alerts: [{name: a, conditions: {late: 9}, call: {url: 'http://a.test/'}}]", false),
        ("alerts: [{name: a, conditions: {disk: 1 GiB}, call: {url: 'http://a.test/'}}]", false),
        ("alerts: [{name: a, every: often, call: {url: 'http://a.test/'}}]", false),
        ("log_deliveries: 1/100", true),
        ("log_deliveries: none", true),
        ("log_deliveries: 5", false),
        ("log_deliveries: 2/3", false),
        ("log_keys: true", true),
        ("log_keys: yes", false),
        ("windw: 5", false),
        ("shutdown-timeout: 5s", false),
        ("window: many", false),
        ("window: 0", false),
        ("window_mib: 65537", false),
        ("server_id: 4294967296", false),
        ("server_id: -1", false),
        ("shutdown_timeout: 30", false),
        ("shutdown_timeout: soon", false),
        ("tls: true", false),
        ("tls: verify_ca", false),
        ("log_format: pretty", false),
        ("admin: 8055", false),
        ("admin: [127.0.0.1]", false),
        ("start: noon", false),
        ("rules: [a]", false),
        ("watch: yes", false),
        ("watch: sometimes", false),
        ("mysql_user: {a: b}", false),
    ] {
        let text = format!("mysql: mysql://rowhook@db.example:3306\n{line}\n");
        let file = as_editors_read(&text);
        let (loaded, refusal) = (loaded(&text), refusal(&file));
        assert_eq!((loaded.is_ok(), refusal.is_none()), (is_sound, is_sound), "{line}: {loaded:?}, {refusal:?}");
    }
    for page in ["docs/configuration.md", "docs/alerts.md", "README.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("a page");
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)) {
            if block.starts_with("mysql:") || block.starts_with("alerts:") {
                assert_eq!(refusal(&as_editors_read(block)), None, "{block}");
            }
        }
    }
}
