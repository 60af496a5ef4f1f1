//! Calls through tinyproxy, a proxy that people run: what it takes from rowhook is what a scripted one can't show.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::call_proxy;
use crate::support::fetched::fetched;
use crate::support::process::{Folder, POLL_INTERVAL, Process, free_port};
use crate::support::program::Home;
use crate::support::receiver::{Answer, Authority, Receiver, Tls};

const DEADLINE: Duration = Duration::from_secs(60);
const LOG: &str = "tinyproxy.log";
const PASSWORD: &str = "s3cret-41";

/// tinyproxy with a login, until it is dropped.
struct RealProxy {
    /// It ends with this.
    _process: Process,
    folder: Folder,
    address: String,
}

impl RealProxy {
    fn start() -> RealProxy {
        let program = fetched("get-proxy.sh");
        // Another process may take the port first.
        (0..5).find_map(|_| RealProxy::on(&program, free_port())).expect("a port that stays free")
    }

    /// None: it ended at once.
    fn on(program: &Path, port: u16) -> Option<RealProxy> {
        let folder = Folder::new("rowhook-proxy-");
        let settings = folder.path().join("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth me {PASSWORD}\nLogFile \"{}\"\nLogLevel Connect\n",
            folder.path().join(LOG).display()
        );
        std::fs::write(&settings, text).expect("the folder takes it");
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(&settings).stdout(Stdio::null());
        let mut process = Process::start(&mut command).expect("it starts");
        let (address, give_up_at) = (format!("127.0.0.1:{port}"), Instant::now() + DEADLINE);
        while TcpStream::connect(&address).is_err() {
            if process.try_wait().is_some() {
                return None;
            }
            assert!(Instant::now() < give_up_at, "it does not listen");
            thread::sleep(POLL_INTERVAL);
        }
        Some(RealProxy { _process: process, folder, address })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(LOG)).expect("it writes a log")
    }
}

/// A home with one letter, whose rule calls this URL once.
fn home(url: &str) -> Home {
    let tls = if url.starts_with("https") { "      tls: {ca: ca.pem}\n" } else { "" };
    call_proxy::home(&format!("      url: \"{url}\"\n{tls}"))
}

#[test]
fn a_real_proxy_takes_calls_with_and_without_tls_and_refuses_a_wrong_login() {
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue(&["localhost"]));
    let secure = Receiver::start_tls(tls, |_| Answer::ok());
    let plain = Receiver::start(|_| Answer::ok());
    let proxy = RealProxy::start();
    let through = |home: Home, login: &str| {
        home.write("rules/ca.pem", authority.pem());
        let home = home.with_env("ROWHOOK_PROXY", &format!("http://{login}{}", proxy.address));
        call_proxy::replay(&home)
    };
    let no_login = "wants a user and a password, or others than these (407)";
    for (url, receiver, wrong_login) in [
        (
            &*format!("https://localhost:{}/orders", secure.port()),
            &secure,
            "refused CONNECT, as some do for a wrong login",
        ),
        // It may close the connection before the answer is read.
        (&*plain.url("/orders"), &plain, "0 delivered, 1 still dead"),
    ] {
        let sent = through(home(url), &format!("me:{PASSWORD}@"));
        assert!(sent.stdout.ends_with("1 delivered, 0 still dead\n"), "{url} {sent:?}\n{}", proxy.log());
        let request = receiver.received().pop().expect("a request");
        assert_eq!((request.path.as_str(), request.header("proxy-authorization")), ("/orders", None), "{url}");
        // It answers 407 where no login comes, and to a wrong one 401, as an API would.
        let without = through(home(url), "");
        assert!(without.stdout.contains(no_login), "{without:?}");
        let refused = through(home(url), "me:an0ther@");
        assert!(refused.stdout.contains(wrong_login), "{refused:?}");
        assert!(!format!("{sent:?}{without:?}{refused:?}").contains("s3cret"), "{sent:?}{without:?}{refused:?}");
        assert_eq!(receiver.count(), 1, "{url}");
    }
    assert!(proxy.log().contains(&format!("CONNECT localhost:{} HTTP/1.1", secure.port())), "{}", proxy.log());
}
