//! Which characters of a text from outside may be shown, and how many.
//!
//! In: characters of answers, row values, names and rule files. Out: whether a terminal or a log viewer shows them as
//! they are; the beginning of a long text. Control characters steer a terminal, and some of Unicode's turn the direction
//! of writing, so that a line reads as what it is not. What stands in their place is the caller's choice.

/// Whether the character neither steers a terminal nor breaks or turns the line.
pub fn is_printable(c: char) -> bool {
    let turns_or_breaks =
        matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns_or_breaks
}

/// How many columns of a terminal the character takes: two of East Asian wide ones and emoji, none of marks that are put onto
/// the one before.
pub fn columns_of(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The text, or so many characters of its beginning with an ellipsis after them.
pub fn shortened(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// A text from outside on one line, cut off where it is too long: what would not be shown as it is becomes a space.
pub fn one_line(text: &str, characters_max: usize) -> String {
    shortened(text, characters_max).chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shortened_between_characters_and_only_when_it_is_too_long() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü…");
        assert_eq!(shortened("", 0), "");
    }

    #[test]
    fn a_text_from_outside_is_put_on_one_line() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m\u{202e}c", 99), "a  b [31m c");
        assert_eq!(one_line("\0\0\0", 2), "  …");
    }

    #[test]
    fn what_steers_a_terminal_or_turns_a_line_is_not_shown() {
        let hidden =
            "\0\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{2028}\u{2029}\u{202e}\u{2066}\u{2069}";
        assert!(!hidden.chars().any(is_printable));
        assert!("a ä\u{fffd}\u{1f600}{}\"'<>\u{200d}".chars().all(is_printable));
    }
}
