//! `omit`: the value that leaves out what it stands for, a member of a body, a field of a form or a header.
//!
//! In: nothing. Out: a value of its own kind that no row has. `rewrite` lets it only stand where it becomes the whole value: anywhere else
//! it is a flaw, so that no filter, list or comparison ever meets it.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Object, ObjectRepr, Value};

#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("omit")
    }
}

/// One for all, so that no rendering makes another.
static OMIT: LazyLock<Value> = LazyLock::new(|| Value::from_object(Omit));

pub(super) fn value() -> Value {
    OMIT.clone()
}

pub(super) fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}
