//! "Did you mean": the known word nearest to a mistyped one, for messages about rule files and settings.

/// `; did you mean …?` when a known word is so similar that it may be meant; else nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or(String::new(), |candidate| format!("; did you mean `{candidate}`?"))
}

/// The known word that is most similar, if any is similar enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters: more would suggest words that only have their length in common.
    let slips_max = word.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Slips between two words: letters put in, left out, mistaken, or two neighbours swapped (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_distant_one_is_not() {
        for (word, expected) in [
            ("retires", "; did you mean `retries`?"),
            ("rwo", "; did you mean `row`?"),
            ("Row", "; did you mean `row`?"),
            ("ÖLD", "; did you mean `old`?"),
            ("retreis", "; did you mean `retries`?"),
            ("", ""),
            ("weather", ""),
            ("x", ""),
        ] {
            assert_eq!(did_you_mean(word, ["row", "old", "retries"]), expected, "{word}");
        }
    }
}
