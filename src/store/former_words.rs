//! Words that stores up to format 4 have on disk, and that were replaced since.
//!
//! In: a word of a record, former or current. Out: its meaning. Former words are only read: a record gets the current
//! word when it is written the next time.

use crate::failure::Reason;
use crate::saga::SagaEffect;

pub(super) fn reason(word: &str) -> Option<Reason> {
    match word {
        "held" => Some(Reason::Blocked),
        "untold" => Some(Reason::CallbackFailed),
        current => Reason::parse(current),
    }
}

pub(super) fn effect(word: &str) -> Option<SagaEffect> {
    match word {
        "done" => Some(SagaEffect::Complete),
        "undone" => Some(SagaEffect::None),
        "open" => Some(SagaEffect::Partial),
        current => SagaEffect::parse(current),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_words_read_back_the_same_and_former_ones_mean_what_they_meant() {
        for known in Reason::ALL {
            assert_eq!(reason(known.as_str()), Some(known));
        }
        for known in SagaEffect::ALL {
            assert_eq!((effect(known.as_str()), effect(known.in_bodies())), (Some(known), Some(known)));
        }
        assert_eq!((reason("held"), reason("untold")), (Some(Reason::Blocked), Some(Reason::CallbackFailed)));
        assert_eq!((reason("lost"), effect("lost")), (None, None));
    }
}
