//! A question to a person at a terminal.
//!
//! In: the question. Out: the answer, or whether to go on. Elsewhere no answer is possible, and the command names the option that gives it.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::config;

/// Whether a person can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks the question, which the answer follows in the same line; None where the input has ended.
pub(super) fn ask(question: &str) -> io::Result<Option<String>> {
    let mut stderr = io::stderr();
    write!(stderr, "{question} ")?;
    stderr.flush()?;
    let mut answer = String::new();
    Ok((io::stdin().lock().read_line(&mut answer)? > 0).then_some(answer))
}

/// Asks the question; anything but yes is no.
///
/// # Errors
/// Where there is no terminal to ask on; and where the answer is no.
pub(super) fn confirm(question: &str) -> anyhow::Result<()> {
    if !can_ask() {
        return Err(config::Error::Unconfirmed.into());
    }
    match ask(&format!("{question} [y/N]"))?.as_deref().map(str::trim) {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => anyhow::bail!("nothing was sent"),
    }
}
