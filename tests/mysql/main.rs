//! Tests against a real MySQL server, which `tests/support/get-mysql.sh` finds or fetches; see there.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod batches;
mod blocked_keys;
mod calls;
mod cases;
mod charsets;
mod checks;
mod conditions;
mod control;
mod copies;
mod crash;
mod daemon;
mod definitions;
mod faults;
mod fixtures;
mod fuse;
mod geometry;
mod gtid_mode;
mod init;
mod isolation;
mod journal;
mod keys;
mod login;
mod outcomes;
mod pacing;
mod parsers;
mod position;
mod preview;
mod preview_and_run;
mod prometheus;
mod random_tables;
mod redact;
mod replays;
mod sagas;
mod source;
mod store;
mod stream;
mod support_mysql;
mod tail;
mod truncate;
mod upgrade;
mod vendors;
mod write_back;
