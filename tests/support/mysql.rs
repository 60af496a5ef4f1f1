//! A real MySQL server for one test, or one for all tests of a binary.
//!
//! In: server options. Out: a running server on 127.0.0.1 with a data directory of its own, which is a copy of the
//! initialised one that get-mysql.sh keeps under target/. Binlog and GTIDs are on, the rest is small and quick; options
//! given later win, so `&["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]` gives a server without GTIDs. At `Drop` the
//! server is killed and its data removed. Commits survive `kill_9`, but not a crash of the machine.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::Signal;

use super::fetched::fetched;
use super::process::{Folder, POLL_INTERVAL, Process, free_port};

/// A server is ready in half a second; many at once on a small machine take longer.
const START_DEADLINE: Duration = Duration::from_secs(60);
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(60);
/// Another process may take a free port before the server binds it; three failures in a row have another cause.
const PORTS_TRIED_MAX: usize = 3;
/// `sockaddr_un.sun_path` holds 108 bytes with the closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

const OPTIONS: &[&str] = &[
    "--mysqlx=OFF",
    "--bind-address=127.0.0.1",
    "--secure-file-priv=",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=32M",
    "--loose-innodb-redo-log-capacity=8M",
    "--innodb-log-buffer-size=1M",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-buffer-pool-load-at-startup=OFF",
    // Each commit reaches the kernel, which outlives kill -9, and is not waited for on its way to the disk.
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
];

/// A running (or killed, or shut down) MySQL server.
pub struct MysqlServer {
    process: Option<Process>,
    port: u16,
    databases: AtomicU32,
    folder: Folder,
}

impl MysqlServer {
    /// Starts a server with `options` after the usual ones and waits until it accepts connections.
    ///
    /// Blocks. Panics with the end of the server's log when it does not come up.
    pub fn start(options: &[&str]) -> MysqlServer {
        let folder = Folder::new("rowhook-mysql-");
        let status = Command::new("cp")
            .args(["-a", "--sparse=always", "--"]) // the template is mostly holes
            .args([installation().join("data-template"), folder.path().join("data")])
            .status();
        assert!(status.is_ok_and(|s| s.success()), "cannot copy the data directory to {}", folder.path().display());
        let mut server = MysqlServer { process: None, port: 0, databases: AtomicU32::new(0), folder };
        for _ in 0..PORTS_TRIED_MAX {
            server.port = free_port();
            if server.launch(options) == Launch::Ready {
                return server;
            }
        }
        panic!("{PORTS_TRIED_MAX} free ports in a row were taken by others:\n{}", server.log_tail());
    }

    /// One server, with the usual options, for all tests of this binary; it ends with the process.
    pub fn shared() -> &'static MysqlServer {
        static SHARED: OnceLock<MysqlServer> = OnceLock::new();
        SHARED.get_or_init(|| MysqlServer::start(&[]))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// The data directory: binlog files, certificates (`ca.pem`).
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `mysql://user:password@127.0.0.1:port`, percent-encoded.
    pub fn url(&self, user: &str, password: &str) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!("mysql://{}:{}@127.0.0.1:{}", encoded(user), encoded(password), self.port)
    }

    /// The URL of root, who has no password.
    pub fn root_url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// What the server has logged since it was started first.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).expect("the server has a log")).into_owned()
    }

    /// SIGKILL to the server itself; returns when it is gone.
    pub fn kill_9(&mut self) {
        self.process.take().expect("the server runs").kill_9();
    }

    /// An orderly shutdown; takes about two seconds.
    pub fn shutdown(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.signal(Signal::TERM);
        let ended = process.wait(SHUTDOWN_DEADLINE);
        assert!(ended.is_some(), "mysqld did not shut down in {SHUTDOWN_DEADLINE:?}:\n{}", self.log_tail());
    }

    /// Starts the server again on the same data and port, after the usual options with `options`; shuts it down before
    /// if it still runs. Waits while another process has the port.
    pub fn restart(&mut self, options: &[&str]) {
        if self.process.is_some() {
            self.shutdown();
        }
        let give_up_at = Instant::now() + START_DEADLINE;
        while self.launch(options) == Launch::PortTaken {
            assert!(Instant::now() < give_up_at, "port {} stays taken:\n{}", self.port, self.log_tail());
        }
    }

    /// A new connection as root, over TCP, without a default database.
    pub async fn conn(&self) -> Conn {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .prefer_socket(Some(false));
        Conn::new(options).await.expect("connecting as root")
    }

    /// Runs one or more statements as root on a connection of their own, without looking at their results.
    pub async fn query(&self, sql: &str) {
        let mut conn = self.conn().await;
        conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
        conn.disconnect().await.expect("closing a connection");
    }

    /// The rows that one statement gives.
    pub async fn rows<T: FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        let mut conn = self.conn().await;
        let rows = conn.query(sql).await.unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
        conn.disconnect().await.expect("closing a connection");
        rows
    }

    /// Begins a new binlog file and purges all others; its name.
    pub async fn purge(&self) -> String {
        self.query("FLUSH BINARY LOGS").await;
        self.purge_all_but_newest().await
    }

    /// Purges all binlog files but the newest; its name. A file is in use until the thread that sends it to a replica has
    /// noticed that the replica went, or has come to the next file.
    pub async fn purge_all_but_newest(&self) -> String {
        let give_up_at = Instant::now() + Duration::from_secs(60);
        loop {
            let mut files: Vec<(String, u64, String)> = self.rows("SHOW BINARY LOGS").await;
            let (newest, ..) = files.pop().expect("a file");
            if files.is_empty() {
                return newest;
            }
            assert!(Instant::now() < give_up_at, "files stay in use: {files:?}");
            self.query(&format!("PURGE BINARY LOGS TO '{newest}'")).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Creates an empty database that no other test uses, and returns its name.
    pub async fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.query(&format!("CREATE DATABASE {name}")).await;
        name
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Starts the server on `self.port` and waits until it is ready.
    fn launch(&mut self, options: &[&str]) -> Launch {
        let (socket, log_path) = (self.socket(), self.log_path());
        let socket_path_bytes = socket.as_os_str().len();
        assert!(
            socket_path_bytes <= SOCKET_PATH_BYTES_MAX,
            "{} has {socket_path_bytes} bytes, a socket's path may have {SOCKET_PATH_BYTES_MAX}; set TMPDIR to a shorter path",
            socket.display()
        );
        let log = File::options().create(true).append(true).open(&log_path).expect("opening the server's log");
        let logged_before = log.metadata().expect("an open file has a size").len() as usize;
        let mut process = Process::start(
            Command::new(tool("mysqld"))
                .arg(format!("--datadir={}", self.data_dir().display()))
                .arg(format!("--socket={}", socket.display()))
                .arg(format!("--pid-file={}", self.folder.path().join("pid").display()))
                .arg(format!("--port={}", self.port))
                // Unique among the servers that run at the same time, because the port is.
                .arg(format!("--server-id={}", self.port))
                .args(OPTIONS)
                .args(options)
                .stdout(log.try_clone().expect("duplicating a file descriptor"))
                .stderr(log),
        )
        .expect("starting mysqld");

        let give_up_at = Instant::now() + START_DEADLINE;
        while !greets(&socket) {
            if process.try_wait().is_some() {
                let log = self.log();
                if log[logged_before.min(log.len())..].contains("Address already in use") {
                    return Launch::PortTaken;
                }
                panic!("mysqld ended at start, options {options:?}:\n{}", self.log_tail());
            }
            assert!(Instant::now() < give_up_at, "mysqld not ready in {START_DEADLINE:?}:\n{}", self.log_tail());
            thread::sleep(POLL_INTERVAL);
        }
        self.process = Some(process);
        Launch::Ready
    }
}

#[derive(PartialEq)]
enum Launch {
    Ready,
    PortTaken,
}

impl Drop for MysqlServer {
    fn drop(&mut self) {
        // Before the folder is removed.
        self.process = None;
    }
}

/// Path of a program of the MySQL installation: `mysqld`, `mysql` or `mysqlbinlog`.
pub fn tool(name: &str) -> PathBuf {
    installation().join("bin").join(name)
}

/// The cache folder that get-mysql.sh fills; asked for once per process.
fn installation() -> &'static Path {
    static INSTALLATION: OnceLock<PathBuf> = OnceLock::new();
    INSTALLATION.get_or_init(|| fetched("get-mysql.sh"))
}

/// Whether a server on this socket sends its greeting, not an error: a packet of protocol version 10.
///
/// The socket's path is ours alone, while on the port another process might answer.
fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut start = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.read_exact(&mut start).is_ok()
        && start[4] == 10
}
