//! Multipart bodies: the map below `multipart:` as `multipart/form-data` (RFC 7578).
//!
//! In: parts with templates. Out: the body, whose boundary follows from the delivery, so that all attempts are equal byte by byte. Names of
//! files are escaped as browsers do (HTML standard, "multipart/form-data encoding algorithm"), backslashes as well, and the boundary occurs in no part, so
//! that no row value can break out of its place.

use super::body::BodyTemplate;
use super::error::Error;
use super::output::within_limit;
use super::scope::{Scope, cell};
use super::text::{TextPiece, TextTemplate};
use crate::change::Value as CellValue;

/// A multipart body whose values are templates.
#[derive(Debug)]
pub struct MultipartTemplate {
    pub parts: Vec<PartTemplate>,
}

/// One part: a field, or a file.
#[derive(Debug)]
pub struct PartTemplate {
    pub name: Box<str>,
    /// A part with a file name is a file for its receiver.
    pub filename: Option<TextTemplate>,
    /// Of its own; without one, receivers take a field for plain text.
    pub content_type: Option<Box<str>>,
    pub content: PartContent,
}

/// What a part holds.
#[derive(Debug)]
pub enum PartContent {
    /// A number or a truth value of the rule.
    Literal(Box<str>),
    /// A text; of a template that is a BINARY or BLOB column alone the bytes themselves.
    Value(TextTemplate),
    Json(BodyTemplate),
}

impl MultipartTemplate {
    /// Appends the body. `id` tells the delivery from others. An error leaves a part of it there.
    pub fn render(&self, scope: &Scope, id: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut parts = Vec::with_capacity(self.parts.len());
        let mut bytes = 0;
        for part in &self.parts {
            match part.render(scope) {
                Err(Error::Omitted) => {}
                rendered => parts.push(rendered?),
            }
            bytes += parts.last().map_or(0, |part| part.header.len() + part.content.len());
            within_limit(bytes)?;
        }
        let boundary = free_boundary(id, &parts);
        for Part { header, content } in &parts {
            out.extend_from_slice(format!("--{boundary}\r\n{header}\r\n").as_bytes());
            out.extend_from_slice(content);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Ok(())
    }

    /// Whether a secret from the environment is part of it.
    pub fn uses_env(&self) -> bool {
        self.parts.iter().any(|part| {
            part.texts().any(TextTemplate::uses_env)
                || matches!(&part.content, PartContent::Json(body) if body.uses_env())
        })
    }

    /// Whether what it renders may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        self.parts.iter().any(|part| {
            part.texts().any(|text| text.reads(column))
                || matches!(&part.content, PartContent::Json(body) if body.reads(column))
        })
    }
}

/// The boundary of a rendered body, which begins with it.
pub fn boundary_of(body: &[u8]) -> String {
    let line = body.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.strip_prefix(b"--").unwrap_or(line)).into_owned();
    // A body without parts is the end alone.
    line.strip_suffix("--").map_or(line.clone(), str::to_owned)
}

struct Part {
    /// Its lines, each with its end.
    header: String,
    content: Vec<u8>,
}

impl PartTemplate {
    fn render(&self, scope: &Scope) -> Result<Part, Error> {
        let mut header = format!("Content-Disposition: form-data; name=\"{}\"", escaped(&self.name));
        if let Some(filename) = &self.filename {
            header.push_str(&format!("; filename=\"{}\"", escaped(&filename.render(scope)?)));
        }
        header.push_str("\r\n");
        if let Some(content_type) = &self.content_type {
            header.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        Ok(Part { header, content: self.content.render(scope)? })
    }

    fn texts(&self) -> impl Iterator<Item = &TextTemplate> {
        let value = match &self.content {
            PartContent::Value(text) => Some(text),
            PartContent::Literal(_) | PartContent::Json(_) => None,
        };
        self.filename.iter().chain(value)
    }
}

impl PartContent {
    fn render(&self, scope: &Scope) -> Result<Vec<u8>, Error> {
        match self {
            PartContent::Literal(text) => Ok(text.as_bytes().to_vec()),
            PartContent::Value(template) => match &template.pieces[..] {
                [TextPiece::Column(side, column)] => match cell(scope.change(), *side, column)? {
                    CellValue::Bytes(bytes) => Ok(bytes.to_vec()),
                    CellValue::Null => Err(Error::FormNull),
                    _ => Ok(template.render(scope)?.into_bytes()),
                },
                _ => Ok(template.render(scope)?.into_bytes()),
            },
            PartContent::Json(body) => {
                let mut out = Vec::new();
                body.render(scope, &mut out)?;
                Ok(out)
            }
        }
    }
}

/// What ends a quoted text or a line of a header has other spellings; and so has the backslash, for which some receivers take away the
/// quote behind it.
fn escaped(text: &str) -> String {
    text.replace('"', "%22").replace('\\', "%5C").replace('\r', "%0D").replace('\n', "%0A")
}

/// A boundary that no part holds: that of the delivery, which a row could have foreseen, or the next one.
fn free_boundary(id: &str, parts: &[Part]) -> String {
    let first = format!("rowhook-{id}");
    let is_free = |boundary: &String| {
        !parts.iter().any(|part| part.content.windows(boundary.len()).any(|window| window == boundary.as_bytes()))
    };
    if is_free(&first) {
        return first;
    }
    let mut others = (2_u64..).map(|number| format!("rowhook-{id}-{number}"));
    others.find(is_free).unwrap_or(first)
}
