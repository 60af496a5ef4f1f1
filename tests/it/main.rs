//! Tests that need no service: the program and the parts that the other tests stand on.

#[path = "../support/mod.rs"]
mod support;

mod support_process;
mod support_program;
mod support_receiver;
