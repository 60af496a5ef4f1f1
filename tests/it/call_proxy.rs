//! Calls through proxies: the real program, a scripted proxy, and receivers behind it under names that only the proxy knows.

use hyper::Version;

use crate::letters::{Letter, fill};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::program::{Finished, Home};
use crate::support::proxy::{Forward, Proxy};
use crate::support::receiver::{Answer, Authority, Receiver, Tls};

/// A home with one letter and one rule with these keys of `call`, tried once.
pub(crate) fn home(call: &str) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: r\n    order_by: none\n    retry: {{retries: 0}}\n    call:\n{call}"
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule);
    fill(&home, &[Letter::of("r", 1)]);
    home
}

pub(crate) fn replay(home: &Home) -> Finished {
    home.run(&["dead-letters", "replay", "--all"])
}

#[track_caller]
fn delivered(finished: &Finished) {
    assert!(finished.stdout.ends_with("1 delivered, 0 still dead\n"), "{finished:?}");
    assert!(!format!("{finished:?}").contains("s3cret"), "{finished:?}");
}

#[track_caller]
fn failed(home: &Home, reason: &str) {
    let finished = replay(home);
    let expected = format!("the only attempt failed: {reason}");
    assert!(finished.stdout.contains(&expected), "{expected}\n{finished:?}");
    let letter = home.run(&["dead-letters", "show", "1", "--json"]).stdout;
    assert!(letter.contains(reason.split('`').next().unwrap()), "{letter}");
    assert!(!format!("{finished:?}{letter}").contains("s3cret"), "{finished:?}{letter}");
}

/// base64("me:s3cret/@%41"), in lower case.
const LOGIN: &str = "proxy-authorization: basic bwu6cznjcmv0l0alnde=";

#[test]
fn an_https_call_goes_through_a_tunnel_to_a_name_that_the_proxy_resolves() {
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue(&["api.test"]));
    for (tls, version) in [(tls.clone(), Version::HTTP_2), (tls.http1_only(), Version::HTTP_11)] {
        let receiver = Receiver::start_tls(tls, |_| Answer::ok());
        let port = receiver.port();
        let proxy = Proxy::start(move |wanted| match wanted {
            "api.test:443" => Forward::To(port),
            _ => Forward::Refuse(403),
        });
        let home = home("      url: https://api.test/orders\n      tls: {ca: ca.pem}\n");
        home.write("rules/ca.pem", authority.pem());
        let url = format!("http://me:s3cret%2F%40%2541@{}", proxy.authority());
        delivered(&replay(&home.with_env("ROWHOOK_PROXY", &url)));
        assert_eq!(proxy.lines(), ["CONNECT api.test:443 HTTP/1.1"]);
        let head = proxy.heads()[0].to_lowercase();
        assert!(head.contains(LOGIN), "{head}");
        let request = receiver.received().pop().expect("a request");
        assert_eq!((request.version, request.header("proxy-authorization")), (version, None));
    }
}

#[test]
fn an_http_call_is_handed_to_the_proxy_whole() {
    let receiver = Receiver::start(|_| Answer::ok());
    let port = receiver.port();
    let proxy = Proxy::start(move |_| Forward::To(port));
    let home = home("      url: http://api.test:8080/orders?a=b\n").with_env("PROXY_PASSWORD", "s3cret%2F%40%2541");
    home.write(
        "rules/targets.yaml",
        &format!(
            "targets:\n  http://api.test:8080:\n    proxy: http://me:{{{{ env.PROXY_PASSWORD }}}}@{}\n",
            proxy.authority()
        ),
    );
    delivered(&replay(&home));
    assert_eq!(proxy.lines(), ["POST http://api.test:8080/orders?a=b HTTP/1.1"]);
    assert!(proxy.heads()[0].to_lowercase().contains(LOGIN), "{:?}", proxy.heads());
}

#[test]
fn the_password_of_the_proxy_may_be_in_a_file() {
    let receiver = Receiver::start(|_| Answer::ok());
    let port = receiver.port();
    let proxy = Proxy::start(move |_| Forward::To(port));
    let home = home("      url: http://api.test:8080/orders\n")
        .with_env("ROWHOOK_PROXY", &format!("http://me:old@{}", proxy.authority()))
        .with_env("ROWHOOK_PROXY_PASSWORD_FILE", "password");
    home.write("password", "s3cret/@%41\n");
    delivered(&replay(&home));
    assert!(proxy.heads()[0].to_lowercase().contains(LOGIN), "{:?}", proxy.heads());
    for (text, url, expected) in [
        (Some("\n"), "http://me@proxy:3128", "--proxy-password-file password: the file is empty"),
        (None, "http://me@proxy:3128", "--proxy-password-file gone: the file can't be read: "),
        (Some("s3cret"), "http://proxy:3128", "--proxy-password-file password: the password is for a user"),
    ] {
        text.into_iter().for_each(|text| home.write("password", text));
        let file = if text.is_some() { "password" } else { "gone" };
        let finished = home.run(&["check", "--offline", "--proxy", url, "--proxy-password-file", file]);
        assert!(finished.code == 2 && finished.stderr.contains(expected), "{finished:?}");
        assert!(!finished.stderr.contains("s3cret"), "{finished:?}");
    }
    assert_eq!(home.run(&["check", "--offline", "--proxy", "none", "--proxy-password-file", "gone"]).code, 0);
}

#[test]
fn errors_of_the_proxy_are_told_apart_from_those_of_the_api() {
    let wants_login = "the proxy PROXY wants a user and a password, or others than these (407): give them in `proxy: http://user:password@host:port`";
    let refused_connect = "the proxy PROXY does not connect to the API: it refused CONNECT, as some do for a wrong login; its log says why";
    for (forward, of_https, of_http) in [
        (Forward::Refuse(407), wants_login, wants_login),
        (Forward::Refuse(502), refused_connect, "answered 502"),
        (
            Forward::Close,
            "the proxy PROXY closed the connection before it answered CONNECT",
            "the proxy PROXY: connection closed before the answer",
        ),
    ] {
        let proxy = Proxy::start(move |_| forward);
        let url = format!("http://me:s3cret@{}", proxy.authority());
        let [of_https, of_http] =
            [of_https, of_http].map(|said| said.replace("PROXY", &format!("http://{}", proxy.authority())));
        failed(&home("      url: https://api.test/\n").with_env("ROWHOOK_PROXY", &url), &of_https);
        let finished = replay(&home("      url: http://api.test/\n").with_env("ROWHOOK_PROXY", &url));
        assert!(finished.stdout.contains(&of_http), "{of_http}: {finished:?}");
        assert!(!format!("{finished:?}").contains("s3cret"), "{finished:?}");
    }
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for scheme in ["http", "https"] {
        let url = format!("http://me:s3cret@{unused}");
        let home = home(&format!("      url: {scheme}://api.test/\n")).with_env("ROWHOOK_PROXY", &url);
        let said = format!("the proxy http://{unused}: connection refused: nothing listens at this address and port");
        failed(&home, &said);
    }
}

#[test]
fn a_failure_behind_the_proxy_is_one_of_the_api() {
    let authority = Authority::new("ours");
    let receiver = Receiver::start_tls(Tls::new(&authority.issue(&["other.test"])), |_| Answer::ok());
    let port = receiver.port();
    let proxy = Proxy::start(move |_| Forward::To(port));
    let home = home("      url: https://api.test/orders\n      tls: {ca: ca.pem}\n");
    home.write("rules/ca.pem", authority.pem());
    let finished = replay(&home.with_env("ROWHOOK_PROXY", &format!("http://{}", proxy.authority())));
    assert!(finished.stdout.contains("other.test") && !finished.stdout.contains("proxy"), "{finished:?}");
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_target_and_a_token_url_each_go_their_own_way() {
    let server = AuthorizationServer::new("me", "s3cret", "all", 3600);
    let receiver = {
        let server = server.clone();
        Receiver::start(move |request| match request.path.as_str() {
            "/token" => server.answer(request),
            _ if server.admits(request) => Answer::ok(),
            _ => Answer::status(401),
        })
    };
    let port = receiver.port();
    let proxy_of_tokens = Proxy::start(move |_| Forward::To(port));
    let trap = Proxy::start(|_| Forward::Refuse(502));
    let call = format!(
        "      url: {}\n      auth:\n        oauth2: {{token_url: 'http://id.test/token', client_id: me, client_secret: s3cret, scope: all}}\n",
        receiver.url("/orders")
    );
    let home = home(&call).with_env("ROWHOOK_PROXY", &format!("http://{}", trap.authority()));
    home.write("proxy-url", &format!("http://{}\n", proxy_of_tokens.authority()));
    home.write(
        "rules/targets.yaml",
        &format!(
            "targets:\n  {}: {{proxy: none}}\n  http://id.test: {{proxy: {{file: ../proxy-url}}}}\n",
            receiver.url("").trim_end_matches('/')
        ),
    );
    delivered(&replay(&home));
    assert_eq!(proxy_of_tokens.lines(), ["POST http://id.test/token HTTP/1.1"]);
    assert_eq!((trap.lines().len(), receiver.count()), (0, 2));
    let check = home.run(&["check", "--offline"]);
    let said = format!("calls go through the proxy http://{}, unless their target says otherwise", trap.authority());
    assert!(check.stdout.contains(&said) && !check.stdout.contains("no rule calls"), "{check:?}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
    let home = home("      url: https://api.test/\n");
    for args in [&["dead-letters", "replay", "--all"][..], &["check", "--offline"], &["run", "--mysql", "mysql://a@b"]]
    {
        let finished = home.run(&[args, &["--proxy", "https://me:s3cret@proxy:3128"]].concat());
        assert_eq!(finished.code, 2, "{finished:?}");
        let said = "--proxy ***: a proxy is reached over http:// only";
        assert!(finished.stderr.contains(said) && !finished.stderr.contains("s3cret"), "{finished:?}");
    }
    home.write("rules/targets.yaml", "targets:\n  https://api.test:\n    proxy: me:s3cret@proxy\n");
    let check = home.run(&["check", "--offline"]);
    let said = "targets.yaml:3:12: `proxy`: a proxy is written `http://host:port` or `http://user:password@host:port`; \
                `none` calls the target directly";
    assert!(check.stdout.contains(said) && !check.stdout.contains("s3cret"), "{check:?}");
    home.write("rules/targets.yaml", "targets:\n  https://api.test: {rate: x, proxi: 'http://me:s3cret@proxy'}\n");
    let check = home.run(&["check", "--offline"]);
    assert!(check.stdout.contains("unknown key `proxi` in a target; did you mean `proxy`?"), "{check:?}");
    assert!(check.stdout.contains("`rate` is a rate such as") && !check.stdout.contains("s3cret"), "{check:?}");
    home.write("rules/targets.yaml", "targets:\n  https://api.test: {proxy: none}\n");
    let check = home.run(&["check", "--offline", "--proxy", "none"]);
    assert!(check.code == 0 && !check.stdout.contains("proxy"), "{check:?}");
}
