//! Multipart bodies: the map below `multipart:` as `multipart/form-data` (RFC 7578).
//!
//! In: parts with templates. Out: the body, whose boundary follows from the delivery, so that all attempts are equal byte by byte. Names of
//! files are escaped as browsers do (HTML standard, "multipart/form-data encoding algorithm"), backslashes as well, and the boundary occurs in no part, so
//! that no row value can break out of its place.

use std::ops::Range;

use memchr::memmem;

use super::body::BodyTemplate;
use super::bytes;
use super::error::Error;
use super::output::{TextOut as _, within_limit, write_cell, write_text};
use super::scope::{Scope, cell};
use super::secret::Secret;
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
    /// The first line of its header, up to the name.
    disposition: String,
    /// A part with a file name is a file for its receiver.
    filename: Option<TextTemplate>,
    /// The lines of its header behind the first, and the empty one.
    header_end: String,
    content: PartContent,
}

/// What a part holds.
#[derive(Debug)]
pub enum PartContent {
    /// A number or a truth value of the rule.
    Literal(Box<str>),
    /// A text; where the value of a template is that of a BINARY or BLOB column, the bytes themselves.
    Value(TextTemplate),
    Json(BodyTemplate),
}

impl MultipartTemplate {
    /// Appends the body. `id` tells the delivery from others. An error leaves a part of it there.
    pub fn render(&self, scope: &Scope, id: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        let begin = out.len();
        let boundary = format!("rowhook-{id}");
        let contents = self.write(scope, &boundary, out)?;
        let holds = |boundary: &str| {
            let boundary = memmem::Finder::new(boundary);
            contents.iter().any(|content| boundary.find(&out[content.clone()]).is_some())
        };
        if !holds(&boundary) {
            return Ok(());
        }
        // A row could have foreseen it.
        let Some(other) = (2_u64..).map(|number| format!("{boundary}-{number}")).find(|other| !holds(other)) else {
            return Ok(());
        };
        out.truncate(begin);
        self.write(scope, &other, out).map(drop)
    }

    /// Where the contents of its parts stand in `out`.
    fn write(&self, scope: &Scope, boundary: &str, out: &mut Vec<u8>) -> Result<Vec<Range<usize>>, Error> {
        let begin = out.len();
        let mut contents = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let before = out.len();
            for text in ["--", boundary, "\r\n"] {
                out.extend_from_slice(text.as_bytes());
            }
            match part.write(scope, out) {
                Err(Error::Omitted) => out.truncate(before),
                written => {
                    contents.push(written?);
                    out.extend_from_slice(b"\r\n");
                }
            }
            within_limit(out.len() - begin)?;
        }
        for text in ["--", boundary, "--\r\n"] {
            out.extend_from_slice(text.as_bytes());
        }
        Ok(contents)
    }

    /// The secrets from the environment that are part of it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.parts.iter().flat_map(|part| {
            let json = if let PartContent::Json(body) = &part.content { Some(body) } else { None };
            part.texts().flat_map(TextTemplate::secrets).chain(json.into_iter().flat_map(BodyTemplate::secrets))
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

impl PartTemplate {
    /// `content_type`: without one, receivers take a field for plain text.
    pub fn new(
        name: &str,
        filename: Option<TextTemplate>,
        content_type: Option<&str>,
        content: PartContent,
    ) -> PartTemplate {
        let content_type = content_type.map_or(String::new(), |media_type| format!("Content-Type: {media_type}\r\n"));
        PartTemplate {
            disposition: format!("Content-Disposition: form-data; name=\"{}\"", escaped(name)),
            filename,
            header_end: format!("\r\n{content_type}\r\n"),
            content,
        }
    }

    /// Where its content stands in `out`.
    fn write(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<Range<usize>, Error> {
        out.extend_from_slice(self.disposition.as_bytes());
        if let Some(filename) = &self.filename {
            out.extend_from_slice(b"; filename=\"");
            out.extend_from_slice(escaped(&filename.render(scope)?).as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(self.header_end.as_bytes());
        let begin = out.len();
        self.content.write(scope, out)?;
        Ok(begin..out.len())
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
    fn write(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            PartContent::Literal(text) => out.put(text),
            PartContent::Value(template) => match &template.pieces[..] {
                [TextPiece::Column(side, column)] => match cell(scope.change(), *side, column)? {
                    CellValue::Bytes(bytes) => {
                        out.extend_from_slice(&bytes);
                        Ok(())
                    }
                    CellValue::Null => Err(Error::FormNull),
                    value => write_cell(&value, out),
                },
                [TextPiece::Expression(expression)] => {
                    let value = expression.evaluate(scope)?;
                    match bytes::as_bytes(&value) {
                        Some(bytes) => out.extend_from_slice(bytes),
                        None => write_text(&value, out).map_err(|error| expression.naming(error, scope))?,
                    }
                    Ok(())
                }
                _ => template.write(scope, out),
            },
            PartContent::Json(body) => body.render(scope, out),
        }
    }
}

/// What ends a quoted text or a line of a header has other spellings; and so has the backslash, for which some receivers take away the
/// quote behind it.
fn escaped(text: &str) -> String {
    text.replace('"', "%22").replace('\\', "%5C").replace('\r', "%0D").replace('\n', "%0A")
}
