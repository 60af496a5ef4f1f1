//! `check --connect`: what is said of the servers that rules call, against receivers that must get no request.

use std::time::Duration;

use crate::support::program::{Finished, Home};
use crate::support::proxy::{Forward, Proxy};
use crate::support::receiver::{Answer, Authority, Receiver, Tls};

/// The only name of the receivers.
const HOST: &[&str] = &["127.0.0.1"];

/// A rule that calls this URL, with these keys of `call`.
fn rule(name: &str, url: &str, call: &str) -> String {
    format!("table: shop.orders\nrules:\n  - name: {name}\n    call:\n      url: {url}\n      {call}\n")
}

fn home(url: &str, call: &str) -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule("r", url, call))
}

/// Exit code 0, and a line with this level and these parts.
#[track_caller]
fn said(checked: &Finished, level: &str, parts: &[&str]) {
    assert_eq!(checked.code, 0, "{checked:?}");
    let lines = checked.stdout.lines();
    let found = lines.filter(|line| line.starts_with(level)).any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "no {level} with {parts:?} in\n{}", checked.stdout);
}

#[test]
fn a_connection_shows_protocol_and_certificate_and_sends_no_request() {
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue(HOST));
    for (tls, protocol) in [(tls.clone(), "HTTP/2 over TLS 1.3"), (tls.http1_only(), "HTTP/1.1 over TLS 1.3")] {
        let receiver = Receiver::start_tls(tls, |_| Answer::ok());
        let home = home(&receiver.url("/orders"), "tls: {ca: ../ca.pem}");
        home.write("ca.pem", authority.pem());
        let checked = home.run(&["check", "--offline", "--connect"]);
        said(
            &checked,
            "ok",
            &[&receiver.url(""), protocol, "certificate of CN=a certificate", "from CN=ours", "days left"],
        );
        assert!(checked.stdout.ends_with("all is well\n"), "{}", checked.stdout);
        assert_eq!(receiver.count(), 0);
    }
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver.url("/orders"), "method: PUT");
    said(&home.run(&["check", "--offline", "--connect"]), "ok", &[&receiver.url(""), "HTTP/1.1 without TLS"]);
    assert_eq!(receiver.count(), 0);
    assert!(!home.run(&["check", "--offline"]).stdout.contains("HTTP/1.1"), "only when it is asked for");
}

#[test]
fn a_certificate_that_is_refused_or_soon_ends_is_a_warning_at_the_url() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let days = |days: u64| Duration::from_secs(days * 24 * 3600 + 3600);
    for (identity, call, parts) in [
        (others.issue(HOST), "tls: {ca: ../ca.pem}", &["no certificate authority that is trusted here"][..]),
        (ours.issue_expired(HOST), "tls: {ca: ../ca.pem}", &["has expired on 2020-01-01"]),
        (ours.issue(&["api.example.com"]), "tls: {ca: ../ca.pem}", &["is for api.example.com, not for the host"]),
        (ours.issue_for(HOST, days(13)), "tls: {ca: ../ca.pem}", &["from CN=ours, 13 days left"]),
        (ours.issue_for(HOST, days(1)), "tls: {ca: ../ca.pem}", &["1 day left"]),
        // Without `tls` the system's authorities are asked.
        (ours.issue(HOST), "method: PUT", &["TLS: "]),
        (others.issue_expired(HOST), "insecure_tls: true", &["from CN=others, 0 days left"]),
    ] {
        let receiver = Receiver::start_tls(Tls::new(&identity), |_| Answer::ok());
        let home = home(&receiver.url("/orders"), call);
        home.write("ca.pem", ours.pem());
        let checked = home.run(&["check", "--offline", "--connect"]);
        said(&checked, "warning  rules/r.yaml:5:12: ", parts);
        assert_eq!(receiver.count(), 0);
    }
    let receiver = Receiver::start_tls(Tls::new(&ours.issue_for(HOST, days(15))), |_| Answer::ok());
    let home = home(&receiver.url("/orders"), "tls: {ca: ../ca.pem}");
    home.write("ca.pem", ours.pem());
    said(&home.run(&["check", "--offline", "--connect"]), "ok", &["15 days left"]);
}

#[test]
fn a_server_that_wants_a_client_certificate_says_so_without_a_request() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let tls = Tls::demanding(&servers.issue(HOST), &clients);
    let start = || Receiver::start_tls(tls.clone(), |_| Answer::ok());
    let receiver = start();
    let without = home(&receiver.url("/"), "tls: {ca: ../ca.pem}");
    without.write("ca.pem", servers.pem());
    said(&without.run(&["check", "--offline", "--connect"]), "warning  rules/r.yaml:5:12: ", &["client certificate"]);
    let receiver = start();
    let with = home(&receiver.url("/"), "tls: {ca: ../ca.pem, cert: ../client.pem, key: ../client.key}");
    let identity = clients.issue(&["rowhook"]);
    with.write("ca.pem", servers.pem());
    with.write("client.pem", &identity.cert_pem);
    with.write("client.key", &identity.key_pem);
    said(&with.run(&["check", "--offline", "--connect"]), "ok", &["TLS 1.3"]);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn what_can_not_be_reached_or_must_not_be_called_is_said_for_all_rules_that_call_it() {
    let receiver = Receiver::start(|_| Answer::ok());
    let url = receiver.url("/orders");
    let home = home("http://127.0.0.1:1/x", "method: PUT")
        .with_rule("s.yaml", &rule("s", "http://127.0.0.1:1/y", "method: PUT"))
        .with_rule("t.yaml", &rule("t", &url, "egress: public_only"))
        .with_rule("u.yaml", &rule("u", "http://169.254.169.254/", "method: PUT"))
        .with_rule("v.yaml", &rule("v", "https://api.example/orders", "method: PUT"));
    let checked = home.run(&["check", "--offline", "--connect", "--json"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect("a JSON document");
    let findings = report["findings"].as_array().expect("a list");
    let of = |file: &str| {
        let is_of = |finding: &&serde_json::Value| finding["file"] == format!("rules/{file}.yaml");
        let found: Vec<_> = findings.iter().filter(is_of).collect();
        assert_eq!(found.len(), 1, "{file}: {findings:#?}");
        assert_eq!(
            (&found[0]["level"], &found[0]["line"], &found[0]["column"]),
            (&"warning".into(), &5.into(), &12.into())
        );
        assert!(found[0]["fix"].is_string(), "{file}: {findings:#?}");
        found[0]["what"].as_str().expect("a text").to_owned()
    };
    assert!(of("r").contains("http://127.0.0.1:1 (rules r, s): connection refused"), "{}", of("r"));
    assert!(of("t").contains("public addresses only"), "{}", of("t"));
    assert!(of("u").contains("metadata address, which rowhook never calls"), "{}", of("u"));
    assert!(of("v").contains("https://api.example (rule v): it is a placeholder"), "{}", of("v"));
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_target_behind_a_proxy_is_tried_through_it_or_it_is_said_why_not() {
    let authority = Authority::new("ours");
    let receiver = Receiver::start_tls(Tls::new(&authority.issue(&["api.test"])), |_| Answer::ok());
    let port = receiver.port();
    let connect = |proxy: &Proxy, url: &str| {
        let home = home(url, "tls: {ca: ../ca.pem}");
        home.write("ca.pem", authority.pem());
        let home = home.with_env("ROWHOOK_PROXY", &format!("http://me:s3cret@{}", proxy.authority()));
        let checked = home.run(&["check", "--offline", "--connect"]);
        assert!(!format!("{checked:?}").contains("s3cret"), "{checked:?}");
        checked
    };
    let proxy = Proxy::start(move |_| Forward::To(port));
    let through =
        format!("https://api.test through the proxy http://{}: HTTP/2 over TLS 1.3, certificate of", proxy.authority());
    said(&connect(&proxy, "https://api.test/orders"), "ok", &[&through, "from CN=ours", "days left"]);
    assert_eq!(proxy.lines(), ["CONNECT api.test:443 HTTP/1.1"]);
    assert!(proxy.heads()[0].contains("Proxy-Authorization: Basic bWU6czNjcmV0"), "{:?}", proxy.heads());
    said(
        &connect(&proxy, "https://other.test/"),
        "warning  rules/r.yaml:5:12: ",
        &["is for api.test, not for the host"],
    );
    for (forward, part) in [
        (Forward::Refuse(407), "wants a user and a password, or others than these (407)"),
        (Forward::Refuse(502), "does not connect to the API: it refused CONNECT"),
        (Forward::Close, "closed the connection before it answered CONNECT"),
    ] {
        let proxy = Proxy::start(move |_| forward);
        said(&connect(&proxy, "https://api.test/orders"), "warning  rules/r.yaml:5:12: ", &["through the proxy", part]);
    }
    assert_eq!(receiver.count(), 0);
}

#[test]
fn without_tls_the_proxy_alone_is_tried_and_one_that_is_not_there_is_said() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let proxy = Proxy::start(|_| Forward::Close);
    let home = home("http://api.test/orders", "method: PUT");
    let checked = |proxy: &str| home.run(&["check", "--offline", "--connect", "--proxy", &format!("http://{proxy}")]);
    said(
        &checked(&proxy.authority()),
        "ok",
        &["http://api.test through the proxy", "HTTP/1.1 without TLS, not tried beyond the proxy"],
    );
    let gone = checked(&unused.to_string());
    said(&gone, "warning  rules/r.yaml:5:12: ", &[": connection refused"]);
    assert!(gone.stdout.contains("fix: correct the URL or the proxy"), "{gone:?}");
    let private = self::home("http://127.0.0.1:1/", "egress: public_only");
    let private =
        private.run(&["check", "--offline", "--connect", "--proxy", &format!("http://{}", proxy.authority())]);
    said(&private, "warning  rules/r.yaml:5:12: ", &["public addresses only"]);
}

#[test]
fn names_are_looked_up_with_a_server_to_follow_and_not_offline() {
    let home = home("https://api.example/orders", "method: PUT");
    let without = home.run(&["check", "--mysql", "mysql://u@127.0.0.1:1"]);
    assert_eq!(without.code, 1, "{without:?}");
    assert!(
        without.stdout.contains("warning  rules/r.yaml:5:12: https://api.example (rule r): it is a placeholder"),
        "{without:?}"
    );
    assert!(home.run(&["check", "--offline"]).stdout.ends_with("all is well\n"));
}
