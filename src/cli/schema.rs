//! `rowhook schema`: the JSON Schemas with which editors complete and check rowhook's files.

use std::borrow::Cow;

use clap::ValueEnum;

use super::{CommandVerdict, output};
use crate::config::SETTINGS_JSON_SCHEMA;
use crate::fixtures::FIXTURES_JSON_SCHEMA;
use crate::rules::{RULES_JSON_SCHEMA, TARGETS_JSON_SCHEMA, with_definitions_of_rules};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook schema rules > rules.schema.json
  rowhook schema targets > targets.schema.json
  rowhook schema settings > rowhook.schema.json
  rowhook schema fixtures > fixtures.schema.json

The first line of a rule file then names its schema, for editors that know YAML:
  # yaml-language-server: $schema=rules.schema.json")]
pub(super) struct SchemaArgs {
    /// Which file the schema is of
    #[arg(value_enum, value_name = "FILE", default_value = "rules")]
    file: SchemaFile,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaFile {
    /// Rule files: `table` and `rules`
    Rules,
    /// Files with `targets`
    Targets,
    /// The settings file, rowhook.yaml
    Settings,
    /// Files with fixtures, for `rowhook test`
    Fixtures,
}

pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<CommandVerdict> {
    output::print(&match args.file {
        SchemaFile::Rules => RULES_JSON_SCHEMA.into(),
        SchemaFile::Targets => TARGETS_JSON_SCHEMA.into(),
        SchemaFile::Settings => Cow::from(with_definitions_of_rules(SETTINGS_JSON_SCHEMA)),
        SchemaFile::Fixtures => FIXTURES_JSON_SCHEMA.into(),
    })?;
    Ok(CommandVerdict::Done)
}
