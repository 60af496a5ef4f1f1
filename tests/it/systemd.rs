//! A daemon under a supervisor: what it tells over `NOTIFY_SOCKET`, and what the files in packaging/ say.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::program::Home;

const DEADLINE: Duration = Duration::from_secs(20);

/// No process listens on port 1: rowhook serves and keeps connecting.
const RUN: [&str; 5] = ["run", "--mysql", "mysql://rowhook:s3cret@127.0.0.1:1", "--admin", "off"];

const RULE: &str = "table: shop.orders\nrules:\n  - name: order-paid\n    call: {url: \"http://127.0.0.1:1/orders\"}\n";

/// The supervisor's end of the socket.
struct Supervisor {
    socket: UnixDatagram,
}

impl Supervisor {
    fn of(home: Home, watchdog: Duration) -> (Supervisor, Home) {
        let path = home.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a limit");
        let watchdog = watchdog.as_micros().to_string();
        let home = home.with_env("NOTIFY_SOCKET", path.to_str().expect("UTF-8")).with_env("WATCHDOG_USEC", &watchdog);
        (Supervisor { socket }, home)
    }

    /// The lines of the next message.
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message within the deadline");
        String::from_utf8_lossy(&message[..length]).lines().map(ToOwned::to_owned).collect()
    }
}

#[test]
fn a_supervisor_is_told_of_the_start_of_each_beat_and_of_the_stop() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", RULE);
    let (supervisor, home) = Supervisor::of(home, Duration::from_millis(400));
    let mut daemon = home.start(&RUN);
    assert_eq!(supervisor.next(), ["READY=1"]);
    for _ in 0..2 {
        let beat = supervisor.next();
        assert!(beat[0].starts_with("STATUS=source: ") && beat[1..] == ["WATCHDOG=1"], "{beat:?}");
        assert!(!beat[0].contains("s3cret"), "{beat:?}");
    }
    // It serves from READY=1 on.
    let alive = home.run(&["status", "--alive"]);
    assert_eq!((alive.code, alive.stdout.as_str(), alive.stderr.as_str()), (0, "", ""));
    daemon.terminate();
    let mut last = supervisor.next();
    while last[0].starts_with("STATUS=") {
        last = supervisor.next();
    }
    assert_eq!(last, ["STOPPING=1"]);
    assert_eq!(daemon.wait(DEADLINE), 0);
}

#[test]
fn a_daemon_that_is_not_watched_sends_no_watchdog_and_one_without_a_supervisor_runs() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", RULE);
    let (supervisor, watched) = Supervisor::of(home.clone(), Duration::from_secs(60));
    // The variable is meant for another process.
    let mut daemon = watched.with_env("WATCHDOG_PID", "1").start(&RUN);
    assert_eq!(supervisor.next(), ["READY=1"]);
    let beat = supervisor.next();
    assert!(beat.len() == 1 && beat[0].starts_with("STATUS="), "{beat:?}");
    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
    drop(supervisor);

    let mut alone = home.with_env("NOTIFY_SOCKET", "/nowhere/notify").start(&RUN);
    // Signals are handled from then on.
    alone.wait_for_line("connection to mysql failed", DEADLINE);
    alone.terminate();
    assert_eq!(alone.wait(DEADLINE), 0);
}

#[test]
fn alive_says_in_one_line_that_no_daemon_runs() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", RULE);
    let finished = home.run(&["status", "--alive"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(finished.stderr.contains("no rowhook runs on data directory data"), "{finished:?}");
    assert!(!home.path("data").exists(), "nothing was made");
    assert_eq!(home.run(&["status", "--alive", "--watch"]).code, 2);
}

/// The values of a key in an ini file, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn the_unit_runs_what_there_is_as_a_user_that_is_created() {
    let (unit, users) = (packaged("packaging/rowhook.service"), packaged("packaging/rowhook.sysusers"));
    let user = values(&unit, "User")[0];
    assert!(users.lines().any(|line| line.starts_with(&format!("u {user} "))), "{users}");
    assert_eq!((values(&unit, "Type"), values(&unit, "RestartPreventExitStatus")), (vec!["notify"], vec!["2"]));
    let help = Home::new(env!("CARGO_BIN_EXE_rowhook")).run(&["run", "--help"]).stdout;
    for variable in values(&unit, "Environment") {
        let name = variable.split('=').next().expect("a name");
        assert!(help.contains(&format!("[env: {name}=")), "{name} in {help}");
    }
    for command in ["ExecStart", "ExecReload"].map(|key| values(&unit, key)[0]) {
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let finished = Home::new(env!("CARGO_BIN_EXE_rowhook")).run(&[&arguments[..], &["--help"]].concat());
        assert_eq!(finished.code, 0, "{command}: {finished:?}");
    }
}

#[test]
fn the_health_check_of_the_image_is_a_command_in_exec_form() {
    let image = packaged("Dockerfile");
    let line = image.lines().find(|line| line.starts_with("HEALTHCHECK ")).expect("a health check");
    let words: Vec<String> = serde_json::from_str(&line[line.find('[').expect("a list")..]).expect("JSON");
    let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let finished = Home::new(env!("CARGO_BIN_EXE_rowhook")).run(&arguments);
    // 2 would be wrong usage.
    assert_eq!((words[0].as_str(), finished.code), ("rowhook", 1), "{finished:?}");
}

fn packaged(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}
