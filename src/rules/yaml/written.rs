//! What a scalar was in the file, after values were put into it.
//!
//! In: parts of a scalar, and what takes their places. Out: the scalar that is read from now on; and, for a place in it, the one in
//! the text as it was written, for messages.

use std::ops::Range;

use serde_saphyr::granit_parser::ScalarStyle;

use super::{Node, NodeKind};

/// A scalar as the file has it.
#[derive(Debug, Clone)]
pub(super) struct WrittenScalar {
    text: String,
    style: ScalarStyle,
    /// From the front: a part of the text, and the length of what took its place.
    puts: Vec<(Range<usize>, usize)>,
}

impl Node {
    /// Replaces a scalar as a whole.
    pub(in crate::rules) fn put_whole(&mut self, put: &str, style: ScalarStyle) {
        let NodeKind::Scalar { text, .. } = &self.kind else { return };
        let all = 0..text.len();
        self.put(put.to_owned(), style, vec![(all, put.len())]);
    }

    /// Replaces parts of a scalar, which are in bytes of its text, from the front, and don't overlap.
    pub(in crate::rules) fn put_parts(&mut self, parts: &[(Range<usize>, String)]) {
        let NodeKind::Scalar { text, style } = &self.kind else { return };
        let (mut put, mut end) = (String::new(), 0);
        for (part, instead) in parts {
            put.push_str(&text[end..part.start]);
            put.push_str(instead);
            end = part.end;
        }
        put.push_str(&text[end..]);
        let style = *style;
        self.put(put, style, parts.iter().map(|(part, instead)| (part.clone(), instead.len())).collect());
    }

    fn put(&mut self, put: String, put_style: ScalarStyle, puts: Vec<(Range<usize>, usize)>) {
        if let NodeKind::Scalar { text, style } = &mut self.kind {
            let written = std::mem::replace(text, put);
            let style = std::mem::replace(style, put_style);
            self.written = Some(Box::new(WrittenScalar { text: written, style, puts }));
        }
    }
}

impl WrittenScalar {
    /// The text, its style, and the place in it of a line and a column of what is read instead, which count from 1.
    pub(super) fn place(&self, read: &str, line: usize, column: usize) -> (&str, ScalarStyle, usize, usize) {
        let offset = self.offset(offset_of(read, line, column));
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        (&self.text, self.style, line, before[line_start..].chars().count() + 1)
    }

    /// The place of a byte of what is read; what was put in begins where the part stood.
    fn offset(&self, read: usize) -> usize {
        let (mut read_end, mut end) = (0, 0);
        for (part, length) in &self.puts {
            let begin = read_end + part.start - end;
            if read < begin {
                break;
            }
            if read < begin + length {
                return part.start;
            }
            (read_end, end) = (begin + length, part.end);
        }
        (end + read).saturating_sub(read_end).min(self.text.len())
    }
}

/// The byte at a line and a column in characters.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start = match line {
        1 => 0,
        _ => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let rest = &text[start..];
    start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
}
