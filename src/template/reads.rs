//! Where a text reads a name, before it is compiled.
//!
//! In: a template or an expression, and a name. Out: each place where the name is read, with the member behind it and the braces around it.
//! Texts in quotes, comments and raw blocks read nothing. A text that is no template reads as far as its words go; what is wrong
//! with it is found when it is compiled.

use std::ops::Range;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// One place.
#[derive(Debug, PartialEq, Eq)]
pub struct NameRead {
    /// `NAME.member` in bytes of the text; without a member, the name alone.
    pub range: Range<usize>,
    pub member: Option<String>,
    /// `{{ NAME.member }}`, where nothing else stands in the braces.
    pub braces: Option<Range<usize>>,
    /// Nothing else is in the text.
    pub is_all: bool,
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// The places where `source` reads `name`. `is_expression`: the text is one, as in `when:`, and no template.
pub fn reads_of(source: &str, is_expression: bool, name: &str) -> Vec<NameRead> {
    let tokens: Vec<(Token, Span)> =
        tokenize(source, is_expression, SyntaxConfig::default()).map_while(Result::ok).collect();
    let token = |place: usize| tokens.get(place).map(|(token, _)| token);
    let mut reads = Vec::new();
    for (place, (this, span)) in tokens.iter().enumerate() {
        let before = place.checked_sub(1).and_then(token);
        if !matches!(this, Token::Ident(ident) if *ident == name)
            || matches!(before, Some(Token::Dot | Token::Pipe))
            || matches!(token(place + 1), Some(Token::Assign))
        {
            continue;
        }
        let (member, last) = match (token(place + 1), token(place + 2)) {
            (Some(Token::Dot), Some(Token::Ident(member))) => (Some((*member).to_owned()), place + 2),
            _ => (None, place),
        };
        let range = span.start_offset as usize..tokens[last].1.end_offset as usize;
        let braces = match (before, token(last + 1)) {
            (Some(Token::VariableStart), Some(Token::VariableEnd)) => {
                Some(tokens[place - 1].1.start_offset as usize..tokens[last + 1].1.end_offset as usize)
            }
            _ => None,
        };
        let is_all = source.get(braces.clone().unwrap_or(range.clone())) == Some(source.trim());
        let (line, column) = (usize::from(span.start_line), usize::from(span.start_col) + 1);
        reads.push(NameRead { range, member, braces, is_all, line, column });
    }
    reads
}
