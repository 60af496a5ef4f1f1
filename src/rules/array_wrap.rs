//! What stands around the array of a batch: a JSON object that the array is a part of.
//!
//! In: what the rule writes, with an empty list in the array's place. Out: the bytes before and behind the array. They are the same for
//! every request of the rule: no row is read.

use crate::template::{BodyTemplate, Error, Scope, Secret};

/// In place of the array. JSON has it nowhere else: in texts a control character is escaped.
const PLACE: u8 = 0;

/// An object around an array.
#[derive(Debug)]
pub struct ArrayWrap(BodyTemplate);

impl ArrayWrap {
    /// An object whose only member, of this name, is the array.
    pub(super) fn of_member(name: &str) -> ArrayWrap {
        ArrayWrap(BodyTemplate::Object(vec![(name.into(), ArrayWrap::place())]))
    }

    /// An object that holds [`place`](ArrayWrap::place) once.
    pub(super) fn of(object: BodyTemplate) -> ArrayWrap {
        ArrayWrap(object)
    }

    /// What stands for the array in the object.
    pub(super) fn place() -> BodyTemplate {
        BodyTemplate::Literal(char::from(PLACE).to_string().into())
    }

    /// What the request has before the array and behind it.
    ///
    /// # Errors
    /// Why it can't be rendered.
    pub fn render(&self, scope: &Scope) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let mut before = Vec::new();
        self.0.render(scope, &mut before)?;
        let place = before.iter().position(|byte| *byte == PLACE).expect("the object holds the place");
        let behind = before.split_off(place + 1);
        before.truncate(place);
        Ok((before, behind))
    }

    /// Whether a secret from the environment is part of it.
    pub fn uses_env(&self) -> bool {
        self.0.uses_env()
    }

    /// The secrets from the environment that are part of it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.secrets()
    }
}
