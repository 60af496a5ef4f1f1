//! Answers as real APIs give them: packed, in other character sets, redirects. The real program, sending dead letters again.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Authority, Identity, Receiver, Tls};

fn home(rule: &str) -> Home {
    let home =
        Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &format!("table: shop.orders\nrules:\n{rule}"));
    fill(&home, &[Letter::of("r", 1)]);
    home
}

fn one_call(receiver: &Receiver, more: &str) -> Home {
    let url = receiver.url("/orders");
    home(&format!("  - name: r\n    retry: {{retries: 0}}\n    call:\n      url: {url}\n      timeout: 20s\n{more}"))
}

fn replay(home: &Home) -> Finished {
    home.run(&["dead-letters", "replay", "--all"])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
}

fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
}

type Headers = Vec<(&'static str, &'static str)>;

/// Ways to write one answer, each with the headers that say so.
fn written(text: &'static str) -> Vec<(Headers, Vec<u8>)> {
    let latin1: Vec<u8> = text.chars().map(|c| c as u8).collect();
    vec![
        (vec![("content-encoding", "gzip")], gzip(text.as_bytes())),
        (vec![("content-encoding", "deflate")], zlib(text.as_bytes())),
        (vec![("content-encoding", "zstd")], zstd::encode_all(text.as_bytes(), 3).unwrap()),
        (vec![], [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        (vec![("content-type", "application/json; charset=utf-16")], utf16(text)),
        (vec![("content-type", "application/json; charset=iso-8859-1")], latin1.clone()),
        (vec![("content-encoding", "gzip"), ("content-type", "text/json; charset=windows-1252")], gzip(&latin1)),
    ]
}

fn say(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let answer = Answer::status(status).with_body(body.to_vec());
    headers.iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
}

#[test]
fn a_later_step_reads_what_an_earlier_one_was_answered_however_it_is_written() {
    for (headers, body) in written(r#"{"id": 77, "owner": "Jürgen"}"#) {
        let said = headers.clone();
        let receiver = Receiver::start(move |request| match request.path.as_str() {
            "/accounts" => say(201, &headers, &body),
            _ => Answer::ok(),
        });
        let call = |path: &str, more: &str| format!("        call: {{url: \"{}\"{more}}}\n", receiver.url(path));
        let home = home(&format!(
            "  - name: r\n    steps:\n      - name: account\n{}      - name: card\n{}",
            call("/accounts", ""),
            call(
                "/charges",
                ", body: {account: \"{{ steps.account.json.id }}\", owner: \"{{ steps.account.json.owner }}\"}"
            )
        ));
        let finished = replay(&home);
        assert!(finished.stdout.ends_with("1 delivered, 0 still dead\n"), "{said:?}: {finished:?}");
        let requests = receiver.received();
        assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
        let read = (&requests[1].json()["account"], &requests[1].json()["owner"]);
        assert_eq!(read, (&77.into(), &"Jürgen".into()), "{said:?}");
    }
}

#[test]
fn a_query_decides_by_an_answer_however_it_is_written() {
    for (headers, body) in written(r#"{"data": [{"state": "bezahlt für"}]}"#) {
        let said = headers.clone();
        let receiver = Receiver::start(move |request| match request.method.as_str() {
            "GET" => say(200, &headers, &body),
            _ => Answer::lose_the_answer(),
        });
        let home = home(&format!(
            "  - name: r\n    retry: {{retries: 1, initial: 10ms}}\n    call:\n      url: {0}\n      idempotent: false\n      \
             verify:\n        call: {{url: {0}}}\n        when: answer.json.data[0].state == 'bezahlt für'\n",
            receiver.url("/charges")
        ));
        let finished = replay(&home);
        assert!(finished.stdout.ends_with("1 delivered, 0 still dead\n"), "{said:?}: {finished:?}");
    }
}

#[test]
fn results_are_read_and_refusals_shown_however_they_are_written() {
    for (headers, body) in written(r#"{"results": [{"status": 422, "error": "zu groß: name is required"}]}"#) {
        let said = headers.clone();
        for (status, batch) in [(200, "    batch: {results: {items: /results, status: /status}}\n"), (400, "")] {
            let (headers, body) = (headers.clone(), body.clone());
            let receiver = Receiver::start(move |_| say(status, &headers, &body));
            let home = one_call(&receiver, batch);
            assert!(replay(&home).stdout.ends_with("0 delivered, 1 still dead\n"), "{said:?}");
            let shown = home.run(&["dead-letters", "show", "1"]).stdout;
            assert!(shown.contains("zu groß: name is required"), "{said:?}:\n{shown}");
        }
    }
}

#[test]
fn a_dead_letter_of_a_redirect_says_where_it_leads() {
    for (status, location, hint, shown) in [
        (308, "https://api.example.com/x/", "it redirects to https://api.example.com,", "https://api.example.com/x/"),
        (
            301,
            "https://me:s3cret@www.example.com/y?s3cret",
            "it redirects to https://www.example.com,",
            "https://www.example.com/y?***",
        ),
        (307, "/orders/", "it redirects to the same URL with a `/` at the end,", "/orders/"),
        (302, "//login.example.com", "it redirects to http://login.example.com,", "http://login.example.com/"),
    ] {
        let receiver = Receiver::start(move |_| Answer::status(status).with_header("location", location));
        let home = one_call(&receiver, "");
        let replayed = replay(&home);
        let letter = home.run(&["dead-letters", "show", "1"]).stdout;
        assert!(
            replayed.stdout.contains(hint) && letter.contains(hint) && letter.contains(shown),
            "{replayed:?}\n{letter}"
        );
        assert!(!letter.contains("s3cret"), "{letter}");
        assert_eq!(receiver.count(), 1, "and is not followed");
    }
}

#[test]
fn a_refused_certificate_is_reported_with_the_fix_that_works() {
    let ours = Authority::new("ours");
    let identity = ours.issue(&["127.0.0.1"]);
    let receiver = Receiver::start_tls(Tls::new(&identity), |_| Answer::ok());
    let home = one_call(&receiver, "");
    let refused = replay(&home);
    let fix = "name the PEM file of that certificate or authority in the call: `tls: {ca: FILE}`";
    assert!(refused.stdout.contains(fix), "{refused:?}");
    // The fix, done.
    let home = one_call(&receiver, "      tls: {ca: ../ca.pem}\n");
    home.write("ca.pem", ours.pem());
    assert!(replay(&home).stdout.ends_with("1 delivered, 0 still dead\n"));
}

/// As `openssl req -x509` makes it, which marks it as an authority's, or without that mark.
fn self_signed(is_authority: bool) -> Identity {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = if is_authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    let key = KeyPair::generate().unwrap();
    Identity { cert_pem: params.self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() }
}

#[test]
fn for_self_signed_certificates_the_report_says_which_can_be_trusted_and_how() {
    let trusted = "      tls: {ca: ../ca.pem}\n";
    for (is_authority, call, expected) in [
        (false, "", "If it is self-signed, "),
        (false, trusted, "1 delivered, 0 still dead"),
        (true, trusted, "marked as one of an authority (CA:TRUE)"),
    ] {
        let identity = self_signed(is_authority);
        let receiver = Receiver::start_tls(Tls::new(&identity), |_| Answer::ok());
        let home = one_call(&receiver, call);
        home.write("ca.pem", &identity.cert_pem);
        let finished = replay(&home);
        assert!(finished.stdout.contains(expected), "{is_authority} {call}: {finished:?}");
    }
}
