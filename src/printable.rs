//! Which characters of a text from outside may be shown.
//!
//! In: characters of answers, row values, names and rule files. Out: whether a terminal or a log viewer shows them as
//! they are. Control characters steer a terminal, and some of Unicode's turn the direction of writing, so that a line
//! reads as what it is not. What stands in their place is the caller's choice.

/// Whether the character neither steers a terminal nor breaks or turns the line.
pub fn is_printable(c: char) -> bool {
    let turns_or_breaks =
        matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns_or_breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_a_line_is_not_shown() {
        let hidden =
            "\0\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{2028}\u{2029}\u{202e}\u{2066}\u{2069}";
        assert!(!hidden.chars().any(is_printable));
        assert!("a ä\u{fffd}\u{1f600}{}\"'<>\u{200d}".chars().all(is_printable));
    }
}
