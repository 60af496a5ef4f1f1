//! The five TLS modes of MySQL clients.

use std::path::PathBuf;

use rowhook::source::{Error, FirstConnect, TlsMode};

use super::*;

#[tokio::test]
async fn every_tls_mode_does_what_it_says() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    let attempt = async |mode: TlsMode, ca: Option<PathBuf>| {
        let mut settings = server.settings();
        settings.first_connect = FirstConnect::FailFast;
        settings.tls.mode = mode;
        settings.tls.ca = ca;
        Reader::new(settings, latest()).next().await.map(|_| ())
    };
    let ca = || Some(server.server.data_dir().join("ca.pem"));
    let wrong = || Some(server.server.data_dir().join("client-cert.pem"));
    // caching_sha2_password has no cached entry after this: without TLS it needs the server's RSA key.
    sql(&mut root, "FLUSH PRIVILEGES").await;
    attempt(TlsMode::Disabled, None).await.expect("plain");
    attempt(TlsMode::Preferred, None).await.expect("preferred");
    attempt(TlsMode::Required, None).await.expect("required");
    attempt(TlsMode::VerifyCa, ca()).await.expect("verify-ca");
    for (mode, file) in [(TlsMode::VerifyIdentity, ca()), (TlsMode::VerifyCa, wrong()), (TlsMode::VerifyCa, None)] {
        let error = attempt(mode, file).await.expect_err("a certificate that does not fit");
        assert!(matches!(error, Error::Tls { .. }), "{mode:?}: {error}");
    }
    sql(&mut root, "ALTER USER hook@'%' REQUIRE SSL").await;
    attempt(TlsMode::Preferred, None).await.expect("preferred is TLS where there is TLS");
    attempt(TlsMode::Disabled, None).await.expect_err("the account needs TLS");
}

#[tokio::test]
async fn without_tls_the_server_reads_a_password_under_its_own_key_alone() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    let own = server.server.data_dir().join("public_key.pem");
    let other = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/link/key/test-key.pem"));
    for (key, is_own) in [(own, true), (other, false)] {
        // Forgets what was cached: the server needs the password itself.
        sql(&mut root, "FLUSH PRIVILEGES").await;
        let mut settings = server.settings();
        settings.first_connect = FirstConnect::FailFast;
        settings.tls.mode = TlsMode::Disabled;
        settings.tls.public_key = Some(key);
        match Reader::new(settings, latest()).next().await {
            Ok(_) => assert!(is_own),
            Err(error) => assert!(!is_own && matches!(error, Error::Login { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_good_enough_for_preferred_only() {
    let server = Mysql::start(&["--tls-version="]).await;
    for (mode, is_enough) in [(TlsMode::Preferred, true), (TlsMode::Disabled, true), (TlsMode::Required, false)] {
        let mut settings = server.settings();
        settings.tls.mode = mode;
        let outcome = Reader::new(settings, latest()).next().await;
        assert_eq!(outcome.is_ok(), is_enough, "{mode:?}: {outcome:?}");
    }
}
