//! Whether the parser read all of a text.
//!
//! In: a text, and what the parser made of it. Out: the same, or a flaw where the text holds what is no word of the language, or two
//! texts side by side. The engine's parser ends an expression after a text without an error when no token follows, so that the
//! rest would be left out: `row.a == 'x' && row.b == 1` would mean `row.a == 'x'`. It also joins texts that stand side by side,
//! so that `'it''s'` would be `its`.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::error::Flaw;
use super::expression::{flaw_at, flaw_of};

const SIDE_BY_SIDE: &str =
    "two texts stand side by side; write a quote within a text as \"it's\", and a comma between two texts";

/// Takes what was parsed if nothing was left out. `is_expression`: the text is one, as in `when:`, and no template.
pub(super) fn all_read<T>(
    parsed: Result<T, minijinja::Error>,
    source: &str,
    is_expression: bool,
) -> Result<T, Vec<Flaw>> {
    let fault = first_fault(source, is_expression);
    match (parsed, fault) {
        (Ok(tree), None) => Ok(tree),
        (Ok(_), Some(fault)) => Err(vec![fault.flaw]),
        // Text that is no word hides what the parser misses at the end of its words.
        (Err(error), Some(fault)) if error.range().is_some_and(|range| range.start >= fault.last_word_at) => {
            Err(vec![fault.flaw])
        }
        (Err(error), _) => Err(vec![flaw_of(&error, source)]),
    }
}

struct Fault {
    flaw: Flaw,
    /// Where the last word in front of it begins.
    last_word_at: usize,
}

fn first_fault(source: &str, is_expression: bool) -> Option<Fault> {
    let (mut end, mut last_word_at, mut is_behind_text) = (0, 0, false);
    for token in tokenize(source, is_expression, SyntaxConfig::default()) {
        let (token, span) = match token {
            Ok(token) => token,
            Err(error) => {
                let rest = source.get(end..).unwrap_or_default();
                let blank = rest.len() - rest.trim_start().len();
                return Some(Fault { flaw: flaw_at(&error, Some(end + blank), source), last_word_at });
            }
        };
        let is_text = matches!(token, Token::Str(_) | Token::String(_));
        if is_text && is_behind_text {
            return Some(Fault { flaw: Flaw::at(span, SIDE_BY_SIDE), last_word_at });
        }
        (end, last_word_at, is_behind_text) = (span.end_offset as usize, span.start_offset as usize, is_text);
    }
    None
}
