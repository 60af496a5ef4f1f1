//! Bodies: the YAML below `body:` as a JSON document whose strings are templates.
//!
//! In: the tree that the rules stage read. Out: JSON, written by a serializer, so that no row value can break out of
//! its place. Keys are literal.

use super::error::Error;
use super::output::within_limit;
use super::scope::Scope;
use super::secret::Secret;
use super::text::TextTemplate;
use crate::change::json;

/// A JSON body whose strings are templates.
#[derive(Debug)]
pub enum BodyTemplate {
    /// A JSON text that is the same for every row: a number, a boolean, null.
    Literal(Box<str>),
    /// A string; keeps its type where it is one expression.
    Text(TextTemplate),
    List(Vec<BodyTemplate>),
    /// Members in the order of the file.
    Object(Vec<(Box<str>, BodyTemplate)>),
}

impl BodyTemplate {
    /// Appends the body as JSON; what stands in `out` before does not count. An error leaves a part of it there.
    pub fn render(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<(), Error> {
        let begin = out.len();
        match self {
            BodyTemplate::Literal(text) => out.extend_from_slice(text.as_bytes()),
            BodyTemplate::Text(text) => text.render_json(scope, out)?,
            BodyTemplate::List(items) => {
                out.push(b'[');
                for item in items {
                    let before = out.len();
                    if before > begin + 1 {
                        out.push(b',');
                    }
                    match item.render(scope, out) {
                        Err(Error::Omitted) => out.truncate(before),
                        written => written?,
                    }
                    within_limit(out.len() - begin)?;
                }
                out.push(b']');
            }
            BodyTemplate::Object(members) => {
                out.push(b'{');
                for (name, member) in members {
                    let before = out.len();
                    if before > begin + 1 {
                        out.push(b',');
                    }
                    json::write_str(name, out);
                    out.push(b':');
                    match member.render(scope, out) {
                        Err(Error::Omitted) => out.truncate(before),
                        written => written?,
                    }
                    within_limit(out.len() - begin)?;
                }
                out.push(b'}');
            }
        }
        within_limit(out.len() - begin)
    }

    /// Whether a secret from the environment is part of it.
    pub fn uses_env(&self) -> bool {
        self.secrets().next().is_some()
    }

    /// The secrets from the environment that are part of it.
    pub fn secrets(&self) -> Box<dyn Iterator<Item = &Secret> + '_> {
        match self {
            BodyTemplate::Literal(_) => Box::new(std::iter::empty()),
            BodyTemplate::Text(text) => Box::new(text.secrets()),
            BodyTemplate::List(items) => Box::new(items.iter().flat_map(BodyTemplate::secrets)),
            BodyTemplate::Object(members) => Box::new(members.iter().flat_map(|(_, member)| member.secrets())),
        }
    }

    /// Whether what it renders may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        match self {
            BodyTemplate::Literal(_) => false,
            BodyTemplate::Text(text) => text.reads(column),
            BodyTemplate::List(items) => items.iter().any(|item| item.reads(column)),
            BodyTemplate::Object(members) => members.iter().any(|(_, member)| member.reads(column)),
        }
    }
}
