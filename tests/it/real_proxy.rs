//! Calls through tinyproxy, a proxy that people run: what it takes from rowhook is what a scripted one can't show.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::letters::{Letter, fill};
use crate::support::program::Home;
use crate::support::receiver::{Answer, Authority, Receiver, Tls};

const DEADLINE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "s3cret-41";

/// tinyproxy with a login, until it is dropped.
struct RealProxy {
    process: Child,
    address: String,
    log: PathBuf,
}

impl RealProxy {
    fn start(folder: &Path) -> RealProxy {
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support");
        let got = Command::new(support.join("get-proxy.sh")).stderr(Stdio::inherit()).output().expect("bash runs");
        assert!(got.status.success(), "no proxy");
        let program = String::from_utf8(got.stdout).expect("a path");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let (settings, log) = (folder.join("tinyproxy.conf"), folder.join("tinyproxy.log"));
        let text = format!(
            "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth me {PASSWORD}\nLogFile \"{}\"\nLogLevel Connect\n",
            free.port(),
            log.display()
        );
        std::fs::write(&settings, text).expect("the folder takes it");
        let started = Command::new(program.trim()).arg("-d").arg("-c").arg(&settings).stdout(Stdio::null()).spawn();
        let mut proxy = RealProxy { process: started.expect("it starts"), address: free.to_string(), log };
        let give_up_at = Instant::now() + DEADLINE;
        while TcpStream::connect(free).is_err() {
            let ended = proxy.process.try_wait().expect("it can be asked");
            assert!(ended.is_none() && Instant::now() < give_up_at, "it does not listen: {ended:?}");
        }
        proxy
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it writes a log")
    }
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A home with one letter, whose rule calls this URL once.
fn home(url: &str) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: r\n    order_by: none\n    retry: {{retries: 0}}\n    call: {{url: \"{url}\", tls: {{ca: ca.pem}}}}\n"
    );
    let rule = if url.starts_with("https") { rule } else { rule.replace(", tls: {ca: ca.pem}", "") };
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule);
    fill(&home, &[Letter::of("r", 1)]);
    home
}

#[test]
fn a_real_proxy_takes_calls_with_and_without_tls_and_refuses_a_wrong_login() {
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue(&["localhost"]));
    let secure = Receiver::start_tls(tls, |_| Answer::ok());
    let plain = Receiver::start(|_| Answer::ok());
    let folder = home("http://127.0.0.1:1/");
    let proxy = RealProxy::start(&folder.path("."));
    let through = |home: Home, login: &str| {
        home.write("rules/ca.pem", authority.pem());
        let home = home.with_env("ROWHOOK_PROXY", &format!("http://{login}{}", proxy.address));
        home.run(&["dead-letters", "replay", "--all"])
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
