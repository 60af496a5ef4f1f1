//! Calls over TLS: which servers are trusted, client certificates, HTTP/2. The real program against a server with
//! certificates made here.

use hyper::Version;

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Authority, Identity, Receiver, Tls};

/// The only name of the receivers.
const HOST: &[&str] = &["127.0.0.1"];

/// A home with letters 1 to `letters` and one rule that calls the receiver with these keys of `call`, tried once.
fn home(receiver: &Receiver, call: &str, letters: i64) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: r\n    order_by: none\n    retry: {{retries: 0}}\n    call:\n      \
         url: {}\n      {call}\n",
        receiver.url("/orders")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule);
    fill(&home, &(1..=letters).map(|id| Letter::of("r", id)).collect::<Vec<_>>());
    home
}

fn write(home: &Home, name: &str, identity: &Identity) {
    home.write(&format!("{name}.pem"), &identity.cert_pem);
    home.write(&format!("{name}.key"), &identity.key_pem);
}

fn replay(home: &Home) -> Finished {
    home.run(&["dead-letters", "replay", "--all"])
}

#[track_caller]
fn delivered(finished: &Finished, letters: i64) {
    let last = format!("{letters} delivered, 0 still dead\n");
    assert!(finished.stdout.ends_with(&last), "{finished:?}");
}

/// The server's alert may come before the request is sent, or after, or be lost with the connection that it closes.
const REFUSED: [&str; 3] = [
    "; it wants a client certificate that it knows: `tls: {cert: FILE, key: FILE}` in the call",
    "; perhaps the server wants another client certificate",
    "connection closed before the answer",
];

#[track_caller]
fn failed(finished: &Finished, receiver: &Receiver, reasons: &[&str]) {
    let message = "the only attempt failed: ";
    let is_reported = reasons.iter().any(|reason| finished.stdout.contains(reason));
    assert!(finished.stdout.contains(message) && is_reported, "{reasons:?}\n{finished:?}");
    assert_eq!(receiver.count(), 0, "{reasons:?}");
}

#[test]
fn http2_is_spoken_where_the_server_chooses_it_and_else_http1() {
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue(HOST));
    for (tls, version) in [(tls.clone(), Version::HTTP_2), (tls.http1_only(), Version::HTTP_11)] {
        let receiver = Receiver::start_tls(tls, |_| Answer::ok());
        let home = home(&receiver, "tls: {ca: ../ca.pem}", 20);
        home.write("ca.pem", authority.pem());
        delivered(&replay(&home), 20);
        let requests = receiver.received();
        assert!(requests.iter().all(|request| request.version == version), "{version:?}");
        assert!(requests.iter().all(|request| request.json()["after"]["note"] == "a note"));
        assert_eq!(receiver.effects().values().copied().collect::<Vec<_>>(), [1; 20]);
    }
}

#[test]
fn over_http2_a_request_whose_answer_is_lost_is_not_sent_again_by_itself() {
    let authority = Authority::new("ours");
    let receiver = Receiver::start_tls(Tls::new(&authority.issue(HOST)), |_| Answer::lose_the_answer());
    let home = home(&receiver, "tls: {ca: ../ca.pem}", 1);
    home.write("ca.pem", authority.pem());
    let finished = replay(&home);
    assert!(finished.stdout.contains("the server resets the HTTP/2 stream: "), "{finished:?}");
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_server_must_prove_who_it_is_to_an_authority_that_the_rule_trusts() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    for (identity, reason) in [
        (others.issue(HOST), "name the PEM file of that certificate or authority in the call: `tls: {ca: FILE}`"),
        (
            ours.issue(&["api.example.com"]),
            "TLS: the server's certificate is for api.example.com, not for the host in `url`",
        ),
        (ours.issue_expired(HOST), "TLS: the server's certificate has expired on 2020-01-01: it must be renewed there"),
    ] {
        let receiver = Receiver::start_tls(Tls::new(&identity), |_| Answer::ok());
        let home = home(&receiver, "tls: {ca: ../ca.pem}", 1);
        home.write("ca.pem", ours.pem());
        failed(&replay(&home), &receiver, &[reason]);
    }
    // Without `tls` the system's authorities are asked, and they know nothing of ours.
    let receiver = Receiver::start_tls(Tls::new(&ours.issue(HOST)), |_| Answer::ok());
    failed(&replay(&home(&receiver, "timeout: 10s", 1)), &receiver, &["TLS: "]);
}

#[test]
fn insecure_tls_takes_any_server_and_check_warns_of_it() {
    let identity = Authority::new("unknown").issue_expired(&["elsewhere.example.com"]);
    let receiver = Receiver::start_tls(Tls::new(&identity), |_| Answer::ok());
    let home = home(&receiver, "insecure_tls: true", 1);
    delivered(&replay(&home), 1);
    let checked = home.run(&["check", "--offline"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked.stdout.contains("warning  rules/r.yaml:3:5: rule r calls servers without verifying them"),
        "{checked:?}"
    );
}

#[test]
fn a_server_that_demands_a_certificate_takes_ours_and_no_other() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let tls = Tls::demanding(&servers.issue(HOST), &clients);
    let start = || Receiver::start_tls(tls.clone(), |_| Answer::ok());
    let with_certificate = "tls: {ca: ../ca.pem, cert: ../client.pem, key: ../client.key}";

    let receiver = start();
    let good = home(&receiver, with_certificate, 3);
    good.write("ca.pem", servers.pem());
    write(&good, "client", &clients.issue(&["rowhook"]));
    delivered(&replay(&good), 3);

    for identity in [Some(servers.issue(&["rowhook"])), Some(clients.issue_expired(&["rowhook"])), None] {
        let receiver = start();
        let home = match &identity {
            Some(identity) => {
                let home = home(&receiver, with_certificate, 1);
                write(&home, "client", identity);
                home
            }
            None => home(&receiver, "tls: {ca: ../ca.pem}", 1),
        };
        home.write("ca.pem", servers.pem());
        failed(&replay(&home), &receiver, &REFUSED);
    }
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_an_error_of_the_rules() {
    let authority = Authority::new("ours");
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver, "tls: {cert: ../client.pem, key: ../client.key}", 1);
    let (one, two) = (authority.issue(&["one"]), authority.issue(&["two"]));
    write(&home, "client", &Identity { cert_pem: one.cert_pem, key_pem: two.key_pem });
    let finished = replay(&home);
    assert!(finished.code != 0, "{finished:?}");
    let message = "r.yaml:8:39: this key does not belong to the certificate in rules/../client.pem";
    assert!(finished.stderr.contains(message), "{finished:?}");
    assert!(!finished.stderr.contains("PRIVATE KEY"), "{finished:?}");
}
