//! Tests against a real MySQL server, which `tests/support/get-mysql.sh` finds or fetches; see there.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod crash;
mod daemon;
mod definitions;
mod outcomes;
mod source;
mod support_mysql;
