//! Bounds on the text of a template, checked before it is parsed.
//!
//! In: the text. Out: a flaw where an expression or the nesting of statements is so long that the engine's parser, which
//! calls itself for each level, could run out of stack. Tokens are counted, for that is what nests.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::error::Flaw;

/// In one expression: ten times what a person can read, a fifth of what two MiB of stack were seen to carry.
const TOKENS_MAX: usize = 400;
/// `{{ … }}` in one template.
const EXPRESSIONS_MAX: usize = 1000;
/// `{% … %}` in one template.
const STATEMENTS_MAX: usize = 200;

/// Checks an expression by itself, as in `when:`.
pub(super) fn check_expression(source: &str) -> Result<(), Vec<Flaw>> {
    check(source, true)
}

/// Checks a template with `{{ }}` and `{% %}`.
pub(super) fn check_template(source: &str) -> Result<(), Vec<Flaw>> {
    check(source, false)
}

fn check(source: &str, in_expression: bool) -> Result<(), Vec<Flaw>> {
    let (mut tokens, mut statements, mut expressions) = (0, 0, 0);
    // What is no token is for the parser to report.
    for (token, span) in tokenize(source, in_expression, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::VariableStart => (tokens, expressions) = (0, expressions + 1),
            Token::TemplateData(_) => tokens = 0,
            Token::BlockStart => (tokens, statements) = (0, statements + 1),
            // Elements of a list stand beside each other and do not nest.
            Token::Comma => {}
            _ => tokens += 1,
        }
        let message = match (tokens > TOKENS_MAX, statements > STATEMENTS_MAX) {
            (true, _) => format!("the expression is longer than {TOKENS_MAX} words; split it"),
            (_, true) => format!("the template has more than {STATEMENTS_MAX} statements; split it"),
            _ if expressions > EXPRESSIONS_MAX => {
                format!("the template has more than {EXPRESSIONS_MAX} expressions; split it")
            }
            _ => continue,
        };
        return Err(vec![Flaw::at(span, message)]);
    }
    Ok(())
}
