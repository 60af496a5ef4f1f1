//! What tests need of others, and the scripts beside this file find or fetch.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The path that a script of `tests/support` prints: `get-mysql.sh`. Its progress, and what can be done where it fails, goes to stderr.
pub fn fetched(script: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(script);
    let output = Command::new(&path).stderr(Stdio::inherit()).output().expect("bash runs");
    assert!(output.status.success(), "{script} found nothing; it says above what can be done");
    let printed = String::from_utf8(output.stdout).expect("a path in UTF-8");
    PathBuf::from(printed.trim_end_matches('\n'))
}
