//! Tests that need no service: the program and the parts that the other tests stand on.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../fuzz/seeds.rs"]
mod seeds;

mod answers;
mod call_auth;
mod call_tls;
mod command_line;
mod daemon;
mod dead_letters;
mod fuzzed;
mod held_letters;
mod hostile;
mod letters;
mod named_files;
mod operations;
mod replays_under_way;
mod support_process;
mod support_program;
mod support_receiver;
mod unknown_names;
