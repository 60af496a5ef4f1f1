//! Rules: what is called for which change.
//!
//! In: a directory of YAML files, one per table. Out: a `RuleSet` that says which rules match a change. A rule is
//! checked completely when it is loaded; what loads can only fail on data.

mod actions;
mod alerts;
mod array_wrap;
mod auth;
mod batch;
mod call;
mod compile;
mod content;
mod defaults;
mod diagnostic;
mod difference;
mod doubts;
mod edits;
mod files_state;
mod json_schema;
mod lane;
mod load;
mod matching;
mod media_type;
mod proxy;
mod reader;
mod rule;
mod settings;
mod spec;
mod statement;
mod tables;
mod target;
mod tls;
mod typing;
mod unknown_key;
mod vars;
mod yaml;

pub use actions::{Action, RetryByAnswer, Saga, SagaStep, Sql, Verify, Work};
pub use alerts::{AlertCondition, AlertRule, Threshold};
pub use array_wrap::ArrayWrap;
pub use auth::{
    Auth, AwsCredentials, ClientStyle, HmacAlgorithm, HmacSigning, OAuth2, QueryKey, RequestPart, RequestPiece,
    RequestText, SignatureEncoding, Signing, SigningKey,
};
pub use batch::{Batch, BatchFormat, ItemError, ItemVerdict, Results, Until};
pub use call::{Body, Call, CloudEventMode, RetryOn};
pub use content::Content;
pub use diagnostic::{Diagnostic, Diagnostics, FilePlace};
pub use difference::Difference;
pub use doubts::Doubt;
pub use files_state::RuleFilesState;
pub use json_schema::{RULES_JSON_SCHEMA, TARGETS_JSON_SCHEMA, with_definitions_of_rules};
pub use matching::{Clause, Match, RuleSet, TableRules};
pub use media_type::is_json_document;
pub use proxy::{ProxyChoice, ProxyServer};
pub use reader::{Members, NodeReader, member};
pub use rule::{OrderBy, Rule};
pub use settings::{
    BodyCompression, CallSettings, Egress, LetterRetention, Method, OnDeadLetter, RuleSettings, SqlSettings,
    SuccessStatuses,
};
pub use tables::{IfMissing, Judgement, Objection};
pub use target::{BreakerPolicy, Rate, Target};
pub use tls::{TargetTls, Verification};
pub use yaml::{FileWords, Key, Node, NodeKind, read as read_yaml};

#[cfg(test)]
pub(crate) mod tests;
