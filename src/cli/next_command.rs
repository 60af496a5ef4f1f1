//! The command that goes on where this one ended, to be copied.
//!
//! In: the arguments as they were typed. Out: the same command with one option put in or replaced, quoted for a shell, and with passwords
//! in URLs masked.

/// The command of this process, with this option in place of the options and the flags that are named.
pub(super) fn next_command(replaced: &[&str], flags: &[&str], option: &str, value: &str) -> String {
    let rest = without(typed(), replaced, flags);
    format!("{rest} {option} {}", quoted(value))
}

/// The command of this process.
pub(super) fn same_command() -> String {
    without(typed(), &[], &[])
}

fn typed() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())
}

fn without(typed: impl Iterator<Item = String>, replaced: &[&str], flags: &[&str]) -> String {
    let mut command = "rowhook".to_string();
    let mut typed = typed.peekable();
    while let Some(argument) = typed.next() {
        if replaced.contains(&argument.as_str()) {
            typed.next();
            continue;
        }
        if flags.contains(&argument.as_str()) {
            continue;
        }
        if replaced.iter().any(|name| argument.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))) {
            continue;
        }
        command += " ";
        command += &quoted(&without_password(&argument));
    }
    command
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
    fn the_next_command_is_the_one_that_was_typed_without_the_former_place() {
        let rest = |typed: &[&str]| {
            without(typed.iter().map(|argument| argument.to_string()), &["--after", "--number"], &["--all"])
        };
        for (typed, expected) in [
            (&["dlq", "list"][..], "rowhook dlq list"),
            (&["dlq", "list", "--after", "7", "--json"], "rowhook dlq list --json"),
            (&["dlq", "list", "--after=7", "--all", "--limit=3"], "rowhook dlq list --limit=3"),
            (&["dlq", "list", "--message", "it can't"], r"rowhook dlq list --message 'it can'\''t'"),
            (
                &["--write-url", "mysql://me:p@ss@db:3306/x", "dlq", "--message", ""],
                "rowhook --write-url 'mysql://me:***@db:3306/x' dlq --message ''",
            ),
        ] {
            assert_eq!(rest(typed), expected);
        }
    }
}
