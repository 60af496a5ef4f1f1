//! A JSON document that is taken apart only where it changes.
//!
//! In: JSON text with members in MySQL's order, places, new values as text. Out: the changed text. What lies beside the
//! paths is never parsed into numbers or strings. Changes follow the server's `apply_json_diffs` (`sql/json_diff.cc`): what
//! does not fit is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::{Fault, json};
use super::misfit;
use super::path::{JsonPath, Leg};

#[derive(Debug)]
pub(super) enum Document<'a> {
    /// Not taken apart, or a scalar.
    Text(Cow<'a, str>),
    Array(Vec<Document<'a>>),
    Object(Vec<(String, Document<'a>)>),
}

impl<'a> Document<'a> {
    pub fn of(text: &'a str) -> Document<'a> {
        Document::Text(Cow::Borrowed(text))
    }

    /// Puts another value in place of the one at `path`, which must exist and not be the whole document.
    pub fn replace(&mut self, path: &JsonPath, value: String) -> Result<(), Fault> {
        if path.0.is_empty() {
            return Err(misfit("the whole document"));
        }
        *self.at(&path.0)? = Document::Text(Cow::Owned(value));
        Ok(())
    }

    /// Adds a member that did not exist, or a cell before the one at its place; where an array has no such place, at its
    /// end, and counted from the end, at its beginning.
    pub fn insert(&mut self, path: &JsonPath, value: String) -> Result<(), Fault> {
        let value = Document::Text(Cow::Owned(value));
        let (container, last) = self.parent(path)?;
        match (container, last) {
            (Document::Array(cells), Leg::Cell(place)) => cells.insert((*place).min(cells.len()), value),
            (Document::Array(cells), leg @ Leg::CellFromEnd(_)) => cells.insert(index(cells, leg).unwrap_or(0), value),
            (Document::Object(members), Leg::Member(name)) => {
                if members.iter().any(|(member, _)| member == name) {
                    return Err(misfit("a member that exists already"));
                }
                let place = members.partition_point(|(member, _)| order(member) < order(name));
                members.insert(place, (name.clone(), value));
            }
            _ => return Err(missing()),
        }
        Ok(())
    }

    /// Removes the value at `path`, which must exist.
    pub fn remove(&mut self, path: &JsonPath) -> Result<(), Fault> {
        let (container, last) = self.parent(path)?;
        match (container, last) {
            (Document::Array(cells), leg) => {
                cells.remove(index(cells, leg).ok_or_else(missing)?);
            }
            (Document::Object(members), Leg::Member(name)) => {
                members.remove(members.iter().position(|(member, _)| member == name).ok_or_else(missing)?);
            }
            _ => return Err(missing()),
        }
        Ok(())
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The container of the place that `path` ends with, taken apart, and its last leg.
    fn parent<'p>(&mut self, path: &'p JsonPath) -> Result<(&mut Document<'a>, &'p Leg), Fault> {
        let (last, way) = path.0.split_last().ok_or_else(|| misfit("the whole document"))?;
        let container = self.at(way)?;
        container.take_apart()?;
        Ok((container, last))
    }

    fn at(&mut self, legs: &[Leg]) -> Result<&mut Document<'a>, Fault> {
        let mut place = self;
        for leg in legs {
            place.take_apart()?;
            let next = match (place, leg) {
                (Document::Array(cells), leg) => index(cells, leg).map(|index| &mut cells[index]),
                (Document::Object(members), Leg::Member(name)) => {
                    members.iter_mut().find(|(member, _)| member == name).map(|(_, value)| value)
                }
                _ => None,
            };
            place = next.ok_or_else(missing)?;
        }
        Ok(place)
    }

    /// Makes a container of text into its parts, which are text; a scalar stays text.
    fn take_apart(&mut self) -> Result<(), Fault> {
        let apart = match self {
            Document::Text(Cow::Borrowed(text)) => parts(text),
            // Parts of a value that a difference brought; they are few.
            Document::Text(Cow::Owned(text)) => parts(text).map(|parts| parts.map(Document::into_owned)),
            _ => Ok(None),
        };
        if let Some(apart) = apart.map_err(|_| misfit("a document that cannot be read"))? {
            *self = apart;
        }
        Ok(())
    }

    fn into_owned<'o>(self) -> Document<'o> {
        match self {
            Document::Text(text) => Document::Text(Cow::Owned(text.into_owned())),
            Document::Array(cells) => Document::Array(cells.into_iter().map(Document::into_owned).collect()),
            Document::Object(members) => {
                Document::Object(members.into_iter().map(|(name, value)| (name, value.into_owned())).collect())
            }
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Document::Text(text) => out.push_str(text),
            Document::Array(cells) => {
                out.push('[');
                for (index, cell) in cells.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    cell.write(out);
                }
                out.push(']');
            }
            Document::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    json::quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// The place in an array that a leg means, if the array has it.
fn index(cells: &[Document<'_>], leg: &Leg) -> Option<usize> {
    let place = match leg {
        Leg::Cell(place) => Some(*place),
        Leg::CellFromEnd(place) => cells.len().checked_sub(1)?.checked_sub(*place),
        Leg::Member(_) => None,
    };
    place.filter(|place| *place < cells.len())
}

fn missing() -> Fault {
    misfit("a place that the document does not have")
}

/// MySQL orders members by the length of their names, then by their bytes.
fn order(name: &str) -> (usize, &[u8]) {
    (name.len(), name.as_bytes())
}

/// A container's parts; none for a scalar.
fn parts(text: &str) -> Result<Option<Document<'_>>, serde_json::Error> {
    Ok(match text.as_bytes().first() {
        Some(b'[') => {
            let cells: Vec<&RawValue> = serde_json::from_str(text)?;
            Some(Document::Array(cells.into_iter().map(|cell| Document::of(cell.get())).collect()))
        }
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            Some(Document::Object(members))
        }
        _ => None,
    })
}

/// The members of an object in the order of the text, which a map would lose.
struct Members<'a>(Vec<(String, Document<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, Document::of(value.get())));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
