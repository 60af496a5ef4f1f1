//! The command that goes on where this one ended, to be copied.
//!
//! In: the arguments as they were typed. Out: the same command with one option put in or replaced, quoted for a shell, and with passwords
//! in URLs masked.

/// The arguments of this process, with this option in place of the options that are named.
pub(super) fn next_command(replaced: &[&str], option: &str, value: &str) -> String {
    let typed = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    with_option(typed, replaced, option, value)
}

fn with_option(typed: impl Iterator<Item = String>, replaced: &[&str], option: &str, value: &str) -> String {
    let mut command = "rowhook".to_string();
    let mut typed = typed.peekable();
    while let Some(argument) = typed.next() {
        if replaced.contains(&argument.as_str()) {
            typed.next();
            continue;
        }
        if replaced.iter().any(|name| argument.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))) {
            continue;
        }
        command += " ";
        command += &quoted(&without_password(&argument));
    }
    format!("{command} {option} {}", quoted(value))
}

/// For a POSIX shell.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_string();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// `scheme://user:***@host`.
fn without_password(argument: &str) -> String {
    let masked = argument.split_once("://").and_then(|(scheme, rest)| {
        let (login, host) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    });
    masked.unwrap_or_else(|| argument.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_the_one_that_was_typed_with_another_place() {
        let next = |typed: &[&str]| {
            with_option(typed.iter().map(|argument| argument.to_string()), &["--after", "--number"], "--after", "50")
        };
        for (typed, expected) in [
            (&["dlq", "list"][..], "rowhook dlq list --after 50"),
            (&["dlq", "list", "--after", "7", "--json"], "rowhook dlq list --json --after 50"),
            (&["dlq", "list", "--after=7", "--limit=3"], "rowhook dlq list --limit=3 --after 50"),
            (&["dlq", "list", "--message", "it can't"], r"rowhook dlq list --message 'it can'\''t' --after 50"),
            (
                &["--write-url", "mysql://me:p@ss@db:3306/x", "dlq", "--message", ""],
                "rowhook --write-url 'mysql://me:***@db:3306/x' dlq --message '' --after 50",
            ),
        ] {
            assert_eq!(next(typed), expected);
        }
    }
}
