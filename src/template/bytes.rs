//! Bytes in expressions, where a filter must tell them from a text.
//!
//! In: what a column of bytes holds. Out: a value that only the filters of `filters::encode` and `filters::digest` get to see: `rewrite`
//! puts it where such a filter is behind a column. Everywhere else bytes are their base64, as in the data format.

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value};

#[derive(Debug)]
struct Bytes(Box<[u8]>);

impl Object for Bytes {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.is_empty()
    }
}

pub(super) fn value(bytes: Box<[u8]>) -> Value {
    Value::from_object(Bytes(bytes))
}

pub(super) fn as_bytes(value: &Value) -> Option<&[u8]> {
    value.downcast_object_ref::<Bytes>().map(|bytes| &*bytes.0)
}
