//! Operators as other languages write them.
//!
//! In: the text of a template that could not be parsed, and where the parser gave up. Out: the operator there that this language writes
//! in another way, and that way. What stands in quotes is no operator, nor what stands outside of `{{ }}` in a text.

/// How far from the operator the parser may give up, in bytes.
const DISTANCE_MAX: usize = 4;

/// What is written, and what to write instead; longer ones first.
const OPERATORS: [(&str, &str); 7] =
    [("===", "=="), ("!==", "!="), ("&&", "and"), ("||", "or"), ("<>", "!="), ("!", "not"), ("=", "==")];

/// Correct operators that contain a wrong one.
const RIGHT: [&str; 4] = ["==", "!=", "<=", ">="];

const WORDS: [(&str, &str); 6] =
    [("AND", "and"), ("OR", "or"), ("NOT", "not"), ("IN", "in"), ("IS", "is"), ("NULL", "none")];

/// The offset of the operator that is meant near `given_up_at`, and the advice.
pub(super) fn instead(source: &str, given_up_at: Option<usize>) -> Option<(usize, String)> {
    let distance = |at: usize| given_up_at.map_or(0, |given_up_at| given_up_at.abs_diff(at));
    let nearest = found(source).into_iter().min_by_key(|(at, ..)| distance(*at))?;
    let (at, written, right) = nearest;
    (distance(at) <= DISTANCE_MAX).then(|| (at, format!("write `{right}` instead of `{written}`")))
}

fn found(source: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    let is_text = source.contains("{{");
    let (mut quote, mut is_code, mut at) = (None, !is_text, 0);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let mut taken = c.len_utf8();
        match quote {
            _ if is_text && quote.is_none() && rest.starts_with("{{") => (is_code, taken) = (true, 2),
            _ if is_text && quote.is_none() && rest.starts_with("}}") => (is_code, taken) = (false, 2),
            Some(_) if c == '\\' => taken += rest[1..].chars().next().map_or(0, char::len_utf8),
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if !is_code => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                let wrong = OPERATORS.iter().find(|(written, _)| rest.starts_with(written));
                let right = RIGHT.iter().find(|right| rest.starts_with(**right));
                match (wrong, right) {
                    (Some((written, instead)), right) if written.len() > 2 || right.is_none() => {
                        found.push((at, *written, *instead));
                        taken = written.len();
                    }
                    (_, Some(right)) => taken = right.len(),
                    _ if c.is_alphanumeric() || c == '_' => {
                        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                        let word = WORDS.iter().find(|(written, _)| *written == &rest[..end]);
                        found.extend(word.map(|(written, instead)| (at, *written, *instead)));
                        taken = end;
                    }
                    _ => {}
                }
            }
        }
        at += taken;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_near_the_place_is_named_with_what_to_write() {
        for (source, given_up_at, expected) in [
            ("row.a = 1", Some(6), Some((6, "write `==` instead of `=`"))),
            ("row.a && row.b", Some(6), Some((6, "write `and` instead of `&&`"))),
            ("row.a || row.b", Some(7), Some((6, "write `or` instead of `||`"))),
            ("row.a <> 1", Some(7), Some((6, "write `!=` instead of `<>`"))),
            ("!row.a", Some(0), Some((0, "write `not` instead of `!`"))),
            ("row.a === 1 && x", Some(6), Some((6, "write `==` instead of `===`"))),
            ("row.a !== 1", None, Some((6, "write `!=` instead of `!==`"))),
            ("row.a == 1 AND row.b", Some(11), Some((11, "write `and` instead of `AND`"))),
            ("row.a IS NULL", Some(6), Some((6, "write `is` instead of `IS`"))),
            ("row.note == '&& = <>' )", Some(22), None),
            ("row.a != 1 and row.b >= 2 )", Some(26), None),
            ("row.ORDER )", None, None),
            ("a = b {{ row.a && row.b }}", Some(15), Some((15, "write `and` instead of `&&`"))),
            ("a && b {{ row.a ) }}", Some(16), None),
            ("'\\' = ' )", None, None),
            ("'é=' \\", None, None),
        ] {
            let found = instead(source, given_up_at);
            let found = found.as_ref().map(|(at, advice)| (*at, advice.as_str()));
            assert_eq!(found, expected, "{source}");
        }
    }
}
