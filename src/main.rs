//! The `rowhook` command: parse, run, exit code.
//!
//! 0: done. 1: failed, or problems were found. 2: wrong usage or settings. 3: an operator should look. The work is in `cli`.

use std::process::ExitCode;

use rowhook::cli::{self, CommandVerdict};
use tikv_jemallocator::Jemalloc;

/// One thread reads and another one frees: the system's allocator makes them wait for each other, which costs a quarter
/// of all deliveries at full load.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match cli::run(cli::parse()) {
        Ok(CommandVerdict::Done) => ExitCode::SUCCESS,
        Ok(CommandVerdict::Problems) => ExitCode::from(1),
        Ok(CommandVerdict::Attention) => ExitCode::from(3),
        Err(error) => {
            cli::report(&error);
            ExitCode::from(if cli::is_wrong_usage(&error) { 2 } else { 1 })
        }
    }
}
