//! Tests that need no service: the program and the parts that the other tests stand on.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../fuzz/seeds.rs"]
mod seeds;

mod answers;
mod blocked_letters;
mod call_auth;
mod call_proxy;
mod call_tls;
mod check_targets;
mod command_line;
mod cookbook;
mod daemon;
mod dead_letter_log;
mod dead_letters;
mod fixtures;
mod fuzzed;
mod hostile;
mod journal;
mod letter_edits;
mod letter_export;
mod letter_filters;
mod letter_pages;
mod letter_retention;
mod letters;
mod mistakes;
mod named_files;
mod paced_replays;
mod real_proxy;
mod replays_under_way;
mod sagas;
mod support_process;
mod support_program;
mod support_receiver;
mod systemd;
mod unknown_names;
