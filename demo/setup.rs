//! What the quickstart needs before its story begins: a folder to run rowhook in, and rowhook ready.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use crate::support::process::POLL_INTERVAL;
use crate::support::program::{Home, Program};
use crate::{API_PORT, DEADLINE};

/// A folder with the example rules, on the port that the API got, and a value for each variable that they ask for.
pub fn home_with_rules(port: u16) -> Home {
    let built = std::env::current_exe().expect("this program has a path");
    let binary = built.ancestors().nth(2).expect("examples lie in a folder beside the binary").join("rowhook");
    assert!(binary.exists(), "{} is not built; start this with ./quickstart.sh", binary.display());
    let mut home = Home::new(binary.to_str().expect("a path in UTF-8"));
    for path in rule_files() {
        let yaml = fs::read_to_string(&path).expect("a readable rule file");
        for name in yaml.split("env.").skip(1) {
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            if end > 0 && !name[..end].starts_with(|c: char| c.is_ascii_lowercase()) {
                home = home.with_env(&name[..end], "quickstart");
            }
        }
        let file = path.file_name().and_then(|name| name.to_str()).expect("rule files have plain names");
        let yaml = yaml.replace(&format!("127.0.0.1:{API_PORT}"), &format!("127.0.0.1:{port}"));
        home = home.with_rule(file, &yaml);
    }
    home
}

fn rule_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// Asks for /readyz until it answers 200.
pub fn wait_until_ready(rowhook: &mut Program, admin: &str) {
    let ready = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    let give_up_at = Instant::now() + DEADLINE;
    while !ready().unwrap_or(false) {
        assert!(!rowhook.has_ended(), "rowhook ended by itself");
        assert!(Instant::now() < give_up_at, "rowhook is not ready after {DEADLINE:?}");
        thread::sleep(POLL_INTERVAL);
    }
}
