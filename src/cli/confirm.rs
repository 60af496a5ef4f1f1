//! A question to a person at a terminal.
//!
//! In: the question. Out: whether to go on. Elsewhere no answer is possible, and the command names the option that gives it.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::config;

/// Asks the question; anything but yes is no.
///
/// # Errors
/// Where there is no terminal to ask on; and where the answer is no.
pub(super) fn confirm(question: &str) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(config::Error::Unconfirmed.into());
    }
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { anyhow::bail!("nothing was sent") }
}
