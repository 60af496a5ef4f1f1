//! Tests of `tls` and `insecure_tls`: which files load, and what is said of the others.

use std::path::Path;

use rcgen::{CertificateParams, CertifiedKey, KeyPair};

use crate::rules::tests::json_schema::assert_schema_agrees;
use crate::rules::{Diagnostics, RuleSet, Verification};

fn load(folder: &Path, call: &str) -> Result<RuleSet, Diagnostics> {
    let text = format!("table: a.b\nrules:\n  - name: r\n    call: {{url: 'https://a.test/', {call}}}\n");
    let files = [(folder.join("f.yaml"), text)];
    let loaded = RuleSet::from_texts(&files, &|_| None);
    assert_schema_agrees(&files[0].1, &loaded);
    loaded
}

/// A folder with two certificates, their keys, and files that are no such thing.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for name in ["one", "two"] {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let CertifiedKey { cert, signing_key } = CertifiedKey { cert, signing_key: key };
        write(&format!("{name}.pem"), &cert.pem());
        write(&format!("{name}.key"), &signing_key.serialize_pem());
    }
    write("empty.pem", "nothing\n");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\ns3cret!\n-----END CERTIFICATE-----\n");
    write("no-certificate.pem", "-----BEGIN CERTIFICATE-----\nczNjcmV0\n-----END CERTIFICATE-----\n");
    folder
}

#[test]
fn files_beside_the_rules_are_read_and_equal_settings_are_equal() {
    let folder = folder();
    let tls = |call: &str| load(folder.path(), call).unwrap().rules()[0].call().tls.clone();
    let whole = tls("tls: {ca: two.pem, cert: one.pem, key: one.key}").unwrap();
    assert!(whole.authorities.as_ref().unwrap().contains("BEGIN CERTIFICATE"));
    let identity = whole.identity.as_ref().unwrap().reveal();
    assert!(identity.contains("BEGIN CERTIFICATE") && identity.contains("PRIVATE KEY"));
    assert_eq!(whole.verification, Verification::Full);
    assert_eq!(tls("tls: {ca: two.pem, cert: one.pem, key: one.key}").unwrap(), whole);
    assert_ne!(tls("tls: {ca: one.pem, cert: one.pem, key: one.key}").unwrap(), whole);
    let shown = format!("{whole:?}");
    assert!(!shown.contains("BEGIN"), "{shown}");

    assert_eq!(tls("insecure_tls: true").unwrap().verification, Verification::None);
    for usual in ["timeout: 1s", "insecure_tls: false", "tls: {}"] {
        assert_eq!(tls(usual), None, "{usual}");
    }
    assert!(load(folder.path(), "insecure_tls: true").unwrap().rules()[0].trusts_any_server());
}

#[test]
fn a_file_that_cannot_be_used_is_reported_with_its_place_and_without_its_contents() {
    let folder = folder();
    for (call, column, expected) in [
        ("tls: {ca: gone.pem}", 46, "gone.pem can't be read: No such file"),
        ("tls: {ca: empty.pem}", 46, "empty.pem: there is no certificate in PEM form"),
        ("tls: {ca: broken.pem}", 46, "broken.pem: not PEM"),
        ("tls: {ca: no-certificate.pem}", 46, "no-certificate.pem: "),
        ("tls: {cert: one.pem}", 41, "a client certificate needs both `cert` and `key`"),
        ("tls: {key: one.key}", 41, "a client certificate needs both `cert` and `key`"),
        ("tls: {cert: one.pem, key: two.key}", 62, "this key does not belong to the certificate in"),
        ("tls: {cert: one.pem, key: one.pem}", 62, "one.pem holds no private key in PEM form"),
        ("tls: {cert: no-certificate.pem, key: one.key}", 73, "certificate and key can't be used"),
        ("insecure_tls: yes", 50, "`insecure_tls` is true or false, not `yes`"),
        ("insecure_tls: true, tls: {ca: one.pem}", 66, "`ca` has no use where `insecure_tls` trusts everybody"),
    ] {
        let shown = load(folder.path(), call).expect_err(call).to_string();
        let place = format!("f.yaml:4:{column}: ");
        assert!(shown.contains(&place) && shown.contains(expected), "{call}:\n{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("czNj"), "{shown}");
    }
}

#[test]
fn tls_settings_of_a_call_without_tls_are_reported() {
    let load = |url: &str, auth: &str| {
        let text = format!("table: a.b\nrules:\n  - name: r\n    call: {{url: '{url}', insecure_tls: true{auth}}}\n");
        RuleSet::from_texts(&[("f.yaml".into(), text)], &|_| None)
    };
    let shown = load("http://a.test/", "").unwrap_err().to_string();
    assert!(shown.contains("TLS settings have no use where `url` is http://"), "{shown}");
    let oauth2 = ", auth: {oauth2: {token_url: 'https://id.test/', client_id: a, client_secret: b}}";
    assert!(load("http://a.test/", oauth2).is_ok());
    assert!(load("https://a.test/", "").is_ok());
}
