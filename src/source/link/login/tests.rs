//! Servers that are not what they say, and each way in which one could ask for the password.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use mysql_common::packets::HandshakePacket;
use mysql_common::scramble::{scramble_native, scramble_sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::super::key::tests::KEY;
use super::*;

const NONCE: &[u8] = b"nonce-of-twenty-byte";

const PASSWORD: &str = "s3cret-t0ken";

/// An address of the documentation's network (RFC 5737): somewhere else.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// Asks for the full way of `caching_sha2_password`.
const FULL: &[u8] = &[1, 4];

/// What clients send.
type Heard = Vec<Vec<u8>>;

fn key_packet() -> Vec<u8> {
    [&[1], KEY.as_bytes()].concat()
}

fn switch_to(plugin: &str) -> Vec<u8> {
    [b"\xfe", plugin.as_bytes(), b"\0another-nonce-of-20by\0"].concat()
}

/// A packet as it stands on the wire, and its number; none where the client has gone.
async fn framed(stream: &mut (impl AsyncRead + Unpin)) -> Option<(Vec<u8>, u8)> {
    let head = stream.read_u32_le().await.ok()?;
    let mut body = vec![0; (head & 0xff_ffff) as usize];
    stream.read_exact(&mut body).await.ok()?;
    Some((body, (head >> 24) as u8))
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), packet: &[u8], number: u8) {
    let head = (packet.len() as u32 | u32::from(number) << 24).to_le_bytes();
    // The client may have gone.
    let _ = stream.write_all(&[&head, packet].concat()).await;
    let _ = stream.flush().await;
}

/// Takes a packet before each of its own, and then what still comes.
async fn play(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), script: &[Vec<u8>]) -> Heard {
    let mut heard = Vec::new();
    while let Some((packet, number)) = framed(stream).await {
        heard.push(packet);
        if let Some(next) = script.get(heard.len() - 1) {
            say(stream, next, number + 1).await;
        }
    }
    heard
}

/// A server in the middle, with a certificate of its own.
struct Impostor {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    /// Holds its certificate.
    directory: tempfile::TempDir,
}

impl Impostor {
    async fn new() -> Impostor {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), cert.pem()).expect("written");
        std::fs::write(directory.path().join("key.pem"), KEY).expect("written");
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let tls = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a config");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Impostor { listener, tls: tls.into(), directory }
    }

    fn ca(&self) -> Option<PathBuf> {
        Some(self.directory.path().join("ca.pem"))
    }

    fn settings(&self, mode: TlsMode) -> Settings {
        let port = self.listener.local_addr().expect("an address").port();
        let mut settings = Settings::from_url(&format!("mysql://reader@127.0.0.1:{port}"), Uuid::nil()).expect("a URL");
        settings.tls.mode = mode;
        settings
    }

    /// One login against it, as if it were at `peer`: how that ended, and what was heard after TLS, or without any.
    async fn meet(
        &self,
        settings: &Settings,
        peer: IpAddr,
        has_tls: CapabilityFlags,
        script: &[Vec<u8>],
    ) -> (Result<(), Error>, Heard) {
        let serving = async {
            let (mut socket, _) = self.listener.accept().await.expect("a client");
            let greeting = HandshakePacket::new(
                10,
                b"8.0.40".as_slice(),
                7,
                NONCE[..8].try_into().expect("eight bytes"),
                Some([&NONCE[8..], &[0]].concat()),
                OWN_CAPABILITIES | has_tls,
                COLLATION,
                StatusFlags::default(),
                Some(b"caching_sha2_password".as_slice()),
            );
            say(&mut socket, &serialized(&greeting), 0).await;
            if has_tls.is_empty() || settings.tls.mode == TlsMode::Disabled {
                return play(&mut socket, script).await;
            }
            // No byte more: the client begins with TLS right after it.
            let Some(_) = framed(&mut socket).await else { return vec![] };
            match tokio_rustls::TlsAcceptor::from(Arc::clone(&self.tls)).accept(socket).await {
                Ok(mut stream) => play(&mut stream, script).await,
                Err(_) => vec![],
            }
        };
        let client = async {
            let address = (settings.host.as_str(), settings.port);
            let socket = TcpStream::connect(address).await.expect("a connection");
            log_in(socket, peer, OWN_CAPABILITIES, settings, &Password(PASSWORD.to_string())).await.map(drop)
        };
        tokio::join!(client, serving)
    }
}

const NO_TLS: CapabilityFlags = CapabilityFlags::empty();
const TLS: CapabilityFlags = CapabilityFlags::CLIENT_SSL;

/// Whether nothing of it is, or hides, the password: a proof is a hash that a nonce went into.
#[track_caller]
fn assert_no_password(heard: &Heard, what: &str) {
    for packet in heard {
        assert!(!packet.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()), "{what}: in clear");
        assert!(packet.len() < 200, "{what}: {} bytes, as much as a hidden password takes", packet.len());
    }
}

#[tokio::test]
async fn a_switch_to_the_native_plugin_is_answered_with_its_proof() {
    let impostor = Impostor::new().await;
    let script = [switch_to("mysql_native_password"), OK.to_vec()];
    let (outcome, heard) = impostor.meet(&impostor.settings(TlsMode::Preferred), ELSEWHERE, NO_TLS, &script).await;
    outcome.expect("logged in");
    let proof = scramble_native(&b"another-nonce-of-20by"[..20], PASSWORD.as_bytes()).expect("a proof");
    assert_eq!(heard[1], proof);
    assert_no_password(&heard, "a proof");
}

#[tokio::test]
async fn no_server_without_tls_gets_the_password_whatever_it_requests() {
    let impostor = Impostor::new().await;
    let sha2 = switch_to("caching_sha2_password");
    let (key, ok, full, known) = (key_packet(), OK.to_vec(), FULL.to_vec(), vec![1, 3]);
    for (what, script) in [
        ("the full way, and a key", vec![full.clone(), key.clone(), ok.clone()]),
        ("a key before it was asked", vec![key.clone(), full.clone(), ok.clone()]),
        ("the full way again", vec![full.clone(), full.clone(), key.clone()]),
        ("known, and then not", vec![known, full.clone(), key.clone()]),
        ("a switch to the same plugin", vec![sha2.clone(), full.clone(), key.clone(), ok.clone()]),
        ("a switch after the full way", vec![full.clone(), sha2.clone(), full.clone(), key.clone()]),
        ("two switches", vec![sha2.clone(), sha2.clone(), full.clone(), key.clone()]),
        ("a switch to native and back", vec![switch_to("mysql_native_password"), sha2, full.clone(), key.clone()]),
        ("a switch of old servers", vec![vec![0xfe], full.clone(), key.clone()]),
        ("an empty packet", vec![vec![], full.clone(), key.clone()]),
        ("more than an answer", vec![[full, key.clone()].concat(), key.clone()]),
    ] {
        for mode in [TlsMode::Disabled, TlsMode::Preferred] {
            let settings = impostor.settings(mode);
            let (_, heard) = impostor.meet(&settings, ELSEWHERE, NO_TLS, &script).await;
            assert_no_password(&heard, what);
            assert!(!heard.contains(&vec![2]), "{what}: asked for a key");
        }
    }
    let settings = impostor.settings(TlsMode::Preferred);
    let (outcome, heard) = impostor.meet(&settings, ELSEWHERE, NO_TLS, &[FULL.to_vec()]).await;
    let error = outcome.expect_err("refused").to_string();
    for part in ["the password is not sent", &settings.address(), "--tls verify-identity", "--mysql-public-key FILE"] {
        assert!(error.contains(part), "no {part} in {error}");
    }
    assert_eq!(heard.len(), 1, "the proof alone");
}

#[tokio::test]
async fn without_tls_the_password_is_sent_under_a_given_key_or_over_the_loopback_device() {
    let impostor = Impostor::new().await;
    // Over the loopback device the server is asked for its key.
    let settings = impostor.settings(TlsMode::Disabled);
    let script = [FULL.to_vec(), key_packet(), OK.to_vec()];
    for peer in [HERE, "::1".parse().expect("an address"), "::ffff:127.0.0.1".parse().expect("an address")] {
        let (outcome, heard) = impostor.meet(&settings, peer, NO_TLS, &script).await;
        outcome.expect("logged in");
        assert_eq!((heard[1].as_slice(), heard[2].len()), (&[2][..], 256), "{peer}");
    }
    // With a given key it is not, and what it offers unasked is no key.
    let mut settings = impostor.settings(TlsMode::Disabled);
    settings.tls.public_key = Some(impostor.directory.path().join("key.pem"));
    for peer in [HERE, ELSEWHERE] {
        let (outcome, heard) = impostor.meet(&settings, peer, NO_TLS, &[FULL.to_vec(), OK.to_vec()]).await;
        outcome.expect("logged in");
        assert_eq!(heard[1].len(), 256);
        let (outcome, heard) = impostor.meet(&settings, peer, NO_TLS, &[FULL.to_vec(), key_packet()]).await;
        outcome.expect_err("no answer to a password");
        assert_eq!(heard.len(), 2, "the password was sent once, under the given key");
    }
    // A key that is none, and a password that does not fit.
    let bad = b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_vec();
    let settings = impostor.settings(TlsMode::Disabled);
    let (outcome, heard) = impostor.meet(&settings, HERE, NO_TLS, &[FULL.to_vec(), bad, OK.to_vec()]).await;
    let error = outcome.expect_err("no key").to_string();
    assert!(error.contains("RSA key"), "{error}");
    assert_no_password(&heard, "a key that is none");
}

#[tokio::test]
async fn a_plugin_that_needs_the_password_in_clear_text_is_refused_by_an_unverified_connection() {
    let impostor = Impostor::new().await;
    for plugin in [
        "mysql_clear_password",
        "mysql_old_password",
        "sha256_password",
        "client_ed25519",
        "parsec",
        "dialog",
        "something_new",
    ] {
        for (peer, has_tls) in [(HERE, NO_TLS), (ELSEWHERE, NO_TLS), (ELSEWHERE, TLS)] {
            let settings = impostor.settings(TlsMode::Preferred);
            let script = [switch_to(plugin), FULL.to_vec(), OK.to_vec()];
            let (outcome, heard) = impostor.meet(&settings, peer, has_tls, &script).await;
            let error = outcome.expect_err("refused");
            assert!(matches!(error, Error::Login { .. }) && error.to_string().contains(plugin), "{error}");
            assert_eq!(heard.len(), 1);
        }
    }
    // A second switch could go back to the first question with a nonce of an attacker's choice.
    let native = switch_to("mysql_native_password");
    let settings = impostor.settings(TlsMode::Preferred);
    impostor.meet(&settings, HERE, NO_TLS, &[native.clone(), native, OK.to_vec()]).await.0.expect_err("two switches");
}

#[tokio::test]
async fn under_preferred_a_server_that_was_encrypted_before_is_never_used_unencrypted() {
    let impostor = Impostor::new().await;
    let data = tempfile::tempdir().expect("a directory");
    let with_memory = || {
        let mut settings = impostor.settings(TlsMode::Preferred);
        settings.encrypted = Arc::new(super::super::super::EncryptedServers::kept_in(data.path()));
        settings
    };
    let plain = [FULL.to_vec(), key_packet(), OK.to_vec()];
    let settings = with_memory();
    impostor.meet(&settings, HERE, NO_TLS, &plain).await.0.expect("never encrypted before");
    impostor.meet(&settings, ELSEWHERE, TLS, &[OK.to_vec()]).await.0.expect("encrypted");
    // The same process, and one that starts later.
    for settings in [settings, with_memory()] {
        for peer in [HERE, ELSEWHERE] {
            let (outcome, heard) = impostor.meet(&settings, peer, NO_TLS, &plain).await;
            let error = outcome.expect_err("refused");
            assert!(matches!(error, Error::Tls { .. }), "{error}");
            let text = error.to_string();
            let line = format!("take the line {} out of {}", settings.address(), data.path().display());
            assert!(text.contains("encrypted before") && text.contains(&line), "{text}");
            assert_eq!(heard, Heard::new(), "not even a proof");
        }
    }
    std::fs::remove_file(data.path().join("encrypted-servers")).expect("taken out");
    impostor.meet(&with_memory(), HERE, NO_TLS, &plain).await.0.expect("as the message says");
}

#[tokio::test]
async fn a_server_that_fails_the_required_verification_gets_nothing() {
    let (impostor, other) = (Impostor::new().await, Impostor::new().await);
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        // Another authority, none but the public ones, and no TLS at all.
        for (ca, has_tls) in [(other.ca(), TLS), (None, TLS), (other.ca(), NO_TLS)] {
            let mut settings = impostor.settings(mode);
            settings.tls.ca = ca;
            for script in [[FULL.to_vec(), key_packet()], [switch_to("mysql_clear_password"), OK.to_vec()]] {
                let (outcome, heard) = impostor.meet(&settings, HERE, has_tls, &script).await;
                let error = outcome.expect_err("refused");
                assert!(matches!(error, Error::Tls { .. }), "{error}");
                assert_eq!(heard, Heard::new(), "{mode:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_password_itself_is_sent_only_to_a_verified_server() {
    let impostor = Impostor::new().await;
    let script = [switch_to("mysql_clear_password"), OK.to_vec()];
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        let mut settings = impostor.settings(mode);
        settings.tls.ca = impostor.ca();
        let (outcome, heard) = impostor.meet(&settings, ELSEWHERE, TLS, &script).await;
        outcome.expect("logged in");
        assert_eq!(heard[1], [PASSWORD.as_bytes(), &[0]].concat(), "{mode:?}");
    }
    for mode in [TlsMode::Preferred, TlsMode::Required] {
        let (outcome, heard) = impostor.meet(&impostor.settings(mode), ELSEWHERE, TLS, &script).await;
        let error = outcome.expect_err("refused").to_string();
        assert!(error.contains("mysql_clear_password") && error.contains("--tls verify-identity"), "{error}");
        assert_eq!(heard.len(), 1, "{mode:?}");
    }
}

#[tokio::test]
async fn over_tls_the_full_way_needs_no_key() {
    let impostor = Impostor::new().await;
    let settings = impostor.settings(TlsMode::Required);
    let (outcome, heard) = impostor.meet(&settings, ELSEWHERE, TLS, &[FULL.to_vec(), OK.to_vec()]).await;
    outcome.expect("logged in");
    let proof = scramble_sha256(NONCE, PASSWORD.as_bytes()).expect("a proof");
    assert!(heard[0].windows(proof.len()).any(|part| part == proof));
    assert_eq!(heard[1], [PASSWORD.as_bytes(), &[0]].concat());
}

#[tokio::test]
async fn a_server_that_sends_bytes_before_the_encryption_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut client = Packets::new(
        Socket::Plain(TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection")),
        std::time::Duration::from_secs(10),
    );
    let (mut server, _) = listener.accept().await.expect("a client");
    server.write_all(b"\x01\0\0\0x\x01\0\0").await.expect("written");
    client.next().await.expect("a packet");
    assert!(client.into_plain_socket().is_none());
}
