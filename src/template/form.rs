//! Form bodies: the map below `form:` as `application/x-www-form-urlencoded`.
//!
//! In: a map of templates, flattened at load, and the style of its lists. Out: `name=value` pairs joined by `&`, with every name and
//! value encoded as the URL standard says, so that no row value can break out of its field. What is nested has brackets:
//! `address[city]`. A value of a row that is a document itself (JSON, SET) is flattened in the same way.

use minijinja::value::{Value, ValueKind};
use url::form_urlencoded::byte_serialize;

use super::body::BodyTemplate;
use super::error::Error;
use super::omit;
use super::output::{TextOut, iterate, within_limit, write_cell, write_text};
use super::scope::{Scope, cell, plain_value};
use super::secret::Secret;
use super::text::{TextPiece, TextTemplate};
use crate::change::Value as CellValue;

/// How the elements of a list are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormLists {
    /// `items[0]`, `items[1]`.
    Indices,
    /// `items[]`, once for each.
    Brackets,
    /// `items`, once for each.
    Repeat,
}

/// A form whose values are templates.
#[derive(Debug)]
pub struct FormTemplate {
    fields: Vec<Field>,
    lists: FormLists,
}

#[derive(Debug)]
struct Field {
    /// Encoded, with its brackets.
    name: String,
    value: FieldValue,
}

#[derive(Debug)]
enum FieldValue {
    /// A number or a truth value of the rule.
    Literal(Box<str>),
    Text(TextTemplate),
}

impl FormTemplate {
    /// Of the members of a map, in the order of the file.
    pub fn new(members: Vec<(Box<str>, BodyTemplate)>, lists: FormLists) -> FormTemplate {
        let mut fields = Vec::new();
        for (name, value) in members {
            flatten(encoded(&name), value, lists, &mut fields);
        }
        FormTemplate { fields, lists }
    }

    /// Appends the form; what stands in `out` before does not count. An error leaves a part of it there.
    pub fn render(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut form = FormWriter { begin: out.len(), out, lists: self.lists };
        for Field { name, value } in &self.fields {
            match value {
                FieldValue::Literal(text) => form.pair(name, |out| out.put(text))?,
                FieldValue::Text(template) => match form.field(name, template, scope) {
                    Err(Error::Omitted) => {}
                    written => written?,
                },
            }
        }
        Ok(())
    }

    /// The secrets from the environment that are part of it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.templates().flat_map(TextTemplate::secrets)
    }

    /// Whether what it renders may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        self.templates().any(|template| template.reads(column))
    }

    fn templates(&self) -> impl Iterator<Item = &TextTemplate> {
        self.fields.iter().filter_map(|field| match &field.value {
            FieldValue::Literal(_) => None,
            FieldValue::Text(template) => Some(template),
        })
    }
}

fn flatten(name: String, value: BodyTemplate, lists: FormLists, fields: &mut Vec<Field>) {
    match value {
        BodyTemplate::Literal(text) => fields.push(Field { name, value: FieldValue::Literal(text) }),
        BodyTemplate::Text(template) => fields.push(Field { name, value: FieldValue::Text(template) }),
        BodyTemplate::List(items) => {
            for (index, item) in items.into_iter().enumerate() {
                flatten(element_name(&name, index, lists), item, lists, fields);
            }
        }
        BodyTemplate::Object(members) => {
            for (key, member) in members {
                flatten(member_name(&name, &key), member, lists, fields);
            }
        }
    }
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// The name of a member of the map of this name, in brackets.
fn member_name(name: &str, key: &str) -> String {
    format!("{name}%5B{}%5D", encoded(key))
}

/// The name of an element of the list of this name.
fn element_name(name: &str, index: usize, lists: FormLists) -> String {
    match lists {
        FormLists::Indices => format!("{name}%5B{index}%5D"),
        FormLists::Brackets => format!("{name}%5B%5D"),
        FormLists::Repeat => name.to_owned(),
    }
}

/// A form that is being written.
struct FormWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where it begins in `out`.
    begin: usize,
    lists: FormLists,
}

/// Encodes what is put into it.
struct Encoded<'a>(&'a mut Vec<u8>);

impl TextOut for Encoded<'_> {
    fn put(&mut self, text: &str) -> Result<(), Error> {
        byte_serialize(text.as_bytes()).for_each(|part| self.0.extend_from_slice(part.as_bytes()));
        Ok(())
    }

    fn put_digits(&mut self, digits: &str) -> Result<(), Error> {
        self.0.extend_from_slice(digits.as_bytes());
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FormWriter<'_> {
    fn pair(&mut self, name: &str, write_value: impl FnOnce(&mut Encoded) -> Result<(), Error>) -> Result<(), Error> {
        if self.out.len() > self.begin {
            self.out.push(b'&');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
        write_value(&mut Encoded(self.out))?;
        within_limit(self.out.len() - self.begin)
    }

    fn field(&mut self, name: &str, template: &TextTemplate, scope: &Scope) -> Result<(), Error> {
        match &template.pieces[..] {
            [TextPiece::Column(side, column)] => match cell(scope.change(), *side, column)? {
                CellValue::Null => Err(Error::FormNull),
                document @ (CellValue::Json(_) | CellValue::Labels(_)) => {
                    self.value(name, &plain_value(scope.change(), column, document))
                }
                value => self.pair(name, |out| write_cell(&value, out)),
            },
            [TextPiece::Expression(expression)] => {
                let value = expression.evaluate(scope)?;
                if value.is_none() {
                    return Err(Error::FormNull);
                }
                self.value(name, &value).map_err(|error| expression.naming(error, scope))
            }
            _ => self.pair(name, |out| template.write(scope, out)),
        }
    }

    /// A value with all that is in it. NULL within a document has no form, and is left out.
    fn value(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        if omit::is_omit(value) {
            return Err(Error::Omitted);
        }
        match value.kind() {
            ValueKind::None => Ok(()),
            ValueKind::Map => {
                for key in iterate(value)? {
                    let (key, member) = (key.to_string(), value.get_item(&key).unwrap_or_default());
                    if key.contains(['[', ']']) {
                        return Err(Error::FormKey);
                    }
                    self.value(&member_name(name, &key), &member)?;
                }
                Ok(())
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for (index, item) in iterate(value)?.enumerate() {
                    self.value(&element_name(name, index, self.lists), &item)?;
                }
                Ok(())
            }
            _ => self.pair(name, |out| write_text(value, out)),
        }
    }
}
