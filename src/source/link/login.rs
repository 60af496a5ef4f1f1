//! From an open socket to an authenticated session.
//!
//! In: a socket and the account. Out: packets over it, encrypted as the TLS mode says. Speaks `caching_sha2_password` by its
//! fast way, in clear text over TLS, and with the server's RSA key without TLS; `mysql_native_password` for accounts of
//! 8.0 servers; `mysql_clear_password`, which cloud tokens need, over TLS to a verified server alone; and follows one switch
//! between them. All other plugins are refused by name. A password never goes over the wire in clear text without TLS.

use std::borrow::Cow;

use mysql_common::constants::CapabilityFlags;
use mysql_common::crypto;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use tokio::net::TcpStream;

use super::super::error::Error;
use super::super::password::Password;
use super::super::refused::{of_clear_password, of_login_answer, of_plugin};
use super::super::settings::{Settings, TlsMode};
use super::packet::{Broken, PACKET_BYTES_MAX, Packets, Socket};
use super::{Answer, answer, tls};

/// `utf8mb4_general_ci`: every server knows it.
const COLLATION: u8 = 45;

/// The plugin's data that is the nonce: 20 bytes and a zero.
const NONCE_BYTES: usize = 20;

pub(super) async fn log_in(socket: TcpStream, settings: &Settings, password: &Password) -> Result<Packets, Error> {
    let broken = |problem: Broken| Error::of_broken_login(&problem, &settings.address());
    let unclear = |what: &str| Error::Connect { server: settings.address(), problem: what.to_string() };
    let mut packets = Packets::new(Socket::Plain(socket), settings.connect_timeout);
    let greeting = packets.next().await.map_err(broken)?;
    if let Answer::Error { code, message } = answer(&greeting) {
        return Err(of_login_answer(code, &message, settings));
    }
    let greeting: HandshakePacket<'_> = ParseBuf(&greeting).parse(()).map_err(|_| unclear("no greeting of MySQL"))?;
    let mut capabilities = greeting.capabilities()
        & (CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_TRANSACTIONS
            | CapabilityFlags::CLIENT_PLUGIN_AUTH);
    if settings.tls.mode != TlsMode::Disabled {
        if greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL) {
            capabilities |= CapabilityFlags::CLIENT_SSL;
            packets = encrypt(packets, capabilities, settings).await?;
        } else if settings.tls.mode != TlsMode::Preferred {
            return Err(Error::without_tls(&settings.address()));
        }
    }
    let mut nonce = [greeting.scramble_1_ref(), greeting.scramble_2_ref().unwrap_or_default()].concat();
    nonce.resize(NONCE_BYTES, 0);
    let plugin = match greeting.auth_plugin() {
        Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
        // The server asks for a switch when the account has another plugin than it proposes.
        _ => AuthPlugin::MysqlNativePassword,
    };
    let proof = plugin.gen_data(Some(&password.0), &nonce);
    let response = HandshakeResponse::new(
        proof.as_deref().map(Cow::from),
        greeting.server_version_parsed().unwrap_or_default(),
        Some(settings.user.as_bytes()),
        None::<&[u8]>,
        Some(plugin.borrow()),
        capabilities,
        None,
        PACKET_BYTES_MAX as u32,
    );
    packets.send(&serialized(&response)).await.map_err(broken)?;
    Exchange { packets, settings, password, plugin: plugin.into_owned(), nonce, is_switched: false }.run().await
}

async fn encrypt(mut packets: Packets, capabilities: CapabilityFlags, settings: &Settings) -> Result<Packets, Error> {
    let request = SslRequest::new(capabilities, PACKET_BYTES_MAX as u32, COLLATION);
    let broken = |problem: Broken| Error::of_broken_login(&problem, &settings.address());
    packets.send(&serialized(&request)).await.map_err(broken)?;
    let sequence = packets.sequence();
    // Bytes that came before the encryption are nobody's word and must not be taken for the server's.
    let socket = packets.into_plain_socket();
    let socket = socket.ok_or_else(|| Error::of_tls(&settings.address(), "the server spoke before its time"))?;
    let socket = tls::encrypt(socket, settings).await?;
    Ok(Packets::new(Socket::Tls(Box::new(socket)), settings.connect_timeout).with_sequence(sequence))
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// Question and answer until the server is convinced.
struct Exchange<'a> {
    packets: Packets,
    settings: &'a Settings,
    password: &'a Password,
    plugin: AuthPlugin<'static>,
    nonce: Vec<u8>,
    is_switched: bool,
}

impl Exchange<'_> {
    async fn run(mut self) -> Result<Packets, Error> {
        loop {
            let packet = self.next().await?;
            match (answer(&packet), &self.plugin) {
                (Answer::Ok, _) => return Ok(self.packets),
                (Answer::Error { code, message }, _) => {
                    return Err(of_login_answer(code, &message, self.settings));
                }
                (Answer::Other(0xfe), _) if !self.is_switched => self.switch(&packet).await?,
                (Answer::Other(1), AuthPlugin::CachingSha2Password) => match packet.get(1) {
                    // The server knew a hash of the password: OK follows.
                    Some(3) => {}
                    Some(4) => self.prove().await?,
                    _ => return Err(self.unclear()),
                },
                _ => return Err(self.unclear()),
            }
        }
    }

    /// Another plugin, or another nonce.
    async fn switch(&mut self, packet: &[u8]) -> Result<(), Error> {
        self.is_switched = true;
        let request = ParseBuf(packet).parse::<AuthSwitchRequest<'_>>(()).map_err(|_| self.unclear())?;
        self.plugin = match request.auth_plugin() {
            plugin @ (AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword) => plugin.into_owned(),
            AuthPlugin::MysqlClearPassword => return self.send_clear().await,
            other => return Err(of_plugin(other.as_bytes(), self.settings)),
        };
        self.nonce = request.plugin_data().to_vec();
        self.nonce.resize(NONCE_BYTES, 0);
        let proof = self.plugin.gen_data(Some(&self.password.0), &self.nonce);
        let proof = proof.as_deref().map(<[u8]>::to_vec).unwrap_or_default();
        self.send(&proof).await
    }

    /// The password itself, for plugins that must see it: to a server that is known to be the right one, encrypted.
    async fn send_clear(&mut self) -> Result<(), Error> {
        if !(self.packets.is_encrypted() && self.settings.tls.mode.verifies()) {
            return Err(of_clear_password(self.settings));
        }
        self.plugin = AuthPlugin::MysqlClearPassword;
        let password = [self.password.0.as_bytes(), &[0]].concat();
        self.send(&password).await
    }

    /// The full way of `caching_sha2_password`: the password itself, hidden by TLS or by the server's RSA key.
    async fn prove(&mut self) -> Result<(), Error> {
        let mut password = self.password.0.clone().into_bytes();
        password.push(0);
        if self.packets.is_encrypted() {
            return self.send(&password).await;
        }
        self.send(&[2]).await?;
        let packet = self.next().await?;
        if let Answer::Error { code, message } = answer(&packet) {
            return Err(of_login_answer(code, &message, self.settings));
        }
        let Some((1, key)) = packet.split_first() else { return Err(self.unclear()) };
        for (byte, mask) in password.iter_mut().zip(self.nonce.iter().cycle()) {
            *byte ^= mask;
        }
        // The library panics on a key that it cannot read, and on one too short for the password.
        let hidden = std::panic::catch_unwind(|| crypto::encrypt(&password, key)).map_err(|_| Error::Connect {
            server: self.settings.address(),
            problem: "the server's RSA key does not do for the password; mend: tls mode preferred or stricter"
                .to_string(),
        })?;
        self.send(&hidden).await
    }

    async fn next(&mut self) -> Result<bytes::Bytes, Error> {
        let packet = self.packets.next().await;
        packet.map_err(|problem| Error::of_broken_login(&problem, &self.settings.address()))
    }

    async fn send(&mut self, packet: &[u8]) -> Result<(), Error> {
        let sent = self.packets.send(packet).await;
        sent.map_err(|problem| Error::of_broken_login(&problem, &self.settings.address()))
    }

    fn unclear(&self) -> Error {
        Error::Connect { server: self.settings.address(), problem: "an answer to the login that is none".to_string() }
    }
}

#[cfg(test)]
mod tests {
    use mysql_common::scramble::scramble_native;
    use tokio::net::TcpListener;
    use uuid::Uuid;

    use super::*;

    const NONCE: &[u8] = b"nonce-of-twenty-byte";

    /// A server that speaks one greeting and then what `script` says: before each packet it takes one of the client.
    async fn attempt(capabilities: CapabilityFlags, script: Vec<Vec<u8>>) -> (Result<Packets, Error>, Vec<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a client");
            let mut packets = Packets::new(Socket::Plain(socket), std::time::Duration::from_secs(10));
            let second = [&NONCE[8..], &[0]].concat();
            let first = NONCE[..8].try_into().expect("eight bytes");
            let greeting = HandshakePacket::new(
                10,
                b"8.0.40".as_slice(),
                7,
                first,
                Some(second),
                capabilities
                    | CapabilityFlags::CLIENT_PROTOCOL_41
                    | CapabilityFlags::CLIENT_SECURE_CONNECTION
                    | CapabilityFlags::CLIENT_PLUGIN_AUTH,
                COLLATION,
                Default::default(),
                Some(b"caching_sha2_password".as_slice()),
            );
            packets.send(&serialized(&greeting)).await.expect("sent");
            let mut heard = Vec::new();
            for packet in script {
                let Ok(answer) = packets.next().await else { break };
                heard.push(answer.to_vec());
                packets.send(&packet).await.expect("sent");
            }
            heard
        });
        let mut settings =
            Settings::from_url(&format!("mysql://reader:s3cret@127.0.0.1:{port}"), Uuid::nil()).expect("a URL");
        settings.tls.mode = TlsMode::Preferred;
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let outcome = log_in(socket, &settings, &Password("s3cret".to_string())).await;
        (outcome, serving.await.expect("a server"))
    }

    fn switch_to(plugin: &str) -> Vec<u8> {
        [b"\xfe", plugin.as_bytes(), b"\0another-nonce-of-20by\0"].concat()
    }

    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

    #[tokio::test]
    async fn a_switch_to_the_native_plugin_is_answered_with_its_proof() {
        let script = vec![switch_to("mysql_native_password"), OK.to_vec()];
        let (outcome, heard) = attempt(CapabilityFlags::empty(), script).await;
        outcome.expect("logged in");
        let proof = scramble_native(b"another-nonce-of-20by".get(..20).expect("twenty"), b"s3cret").expect("a proof");
        assert_eq!(heard[1], proof);
    }

    #[tokio::test]
    async fn the_password_goes_to_no_plugin_that_would_see_it() {
        for plugin in [
            "mysql_clear_password",
            "mysql_old_password",
            "sha256_password",
            "client_ed25519",
            "parsec",
            "dialog",
            "something_new",
        ] {
            let (outcome, heard) = attempt(CapabilityFlags::empty(), vec![switch_to(plugin), OK.to_vec()]).await;
            let error = outcome.expect_err("refused").to_string();
            assert!(error.contains(plugin), "{error}");
            assert_eq!(heard.len(), 1);
        }
        // A second switch could go back to the first question with a nonce of somebody's choice.
        let script = vec![switch_to("mysql_native_password"), switch_to("mysql_native_password"), OK.to_vec()];
        attempt(CapabilityFlags::empty(), script).await.0.expect_err("two switches");
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_an_error_and_no_password_follows() {
        let script =
            vec![vec![1, 4], b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_vec(), OK.to_vec()];
        let (outcome, heard) = attempt(CapabilityFlags::empty(), script).await;
        let error = outcome.expect_err("no key").to_string();
        assert!(error.contains("RSA key"), "{error}");
        assert_eq!(heard.len(), 2);
        assert!(heard.iter().all(|packet| !packet.windows(6).any(|part| part == b"s3cret")));
    }

    #[tokio::test]
    async fn a_server_that_speaks_before_the_encryption_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = Packets::new(
            Socket::Plain(TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection")),
            std::time::Duration::from_secs(10),
        );
        let (mut server, _) = listener.accept().await.expect("a client");
        tokio::io::AsyncWriteExt::write_all(&mut server, b"\x01\0\0\0x\x01\0\0").await.expect("written");
        client.next().await.expect("a packet");
        assert!(client.into_plain_socket().is_none());
    }

    /// A packet as it stands on the wire; none where the client has gone.
    async fn framed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Vec<u8>> {
        use tokio::io::AsyncReadExt as _;
        let head = stream.read_u32_le().await.ok()?;
        let mut body = vec![0; (head & 0xff_ffff) as usize];
        stream.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    /// A server with a certificate of its own that asks for the password itself; what it heard then.
    async fn asked_for_clear_password(mode: TlsMode) -> (Result<Packets, Error>, Option<Vec<u8>>) {
        use tokio::io::AsyncWriteExt as _;
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, cert.pem()).expect("written");
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a config");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a client");
            let mut packets = Packets::new(Socket::Plain(socket), std::time::Duration::from_secs(10));
            let greeting = HandshakePacket::new(
                10,
                b"8.0.40".as_slice(),
                7,
                NONCE[..8].try_into().expect("eight bytes"),
                Some([&NONCE[8..], &[0]].concat()),
                CapabilityFlags::CLIENT_PROTOCOL_41
                    | CapabilityFlags::CLIENT_SECURE_CONNECTION
                    | CapabilityFlags::CLIENT_PLUGIN_AUTH
                    | CapabilityFlags::CLIENT_SSL,
                COLLATION,
                Default::default(),
                Some(b"caching_sha2_password".as_slice()),
            );
            packets.send(&serialized(&greeting)).await.expect("sent");
            let mut socket = packets.into_plain_socket().expect("nothing was said before");
            // No byte more: the client begins with TLS right behind it.
            framed(&mut socket).await.expect("a request for TLS");
            let mut stream = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config)).accept(socket).await.ok()?;
            framed(&mut stream).await?;
            let switch = b"\xfemysql_clear_password\0";
            stream.write_all(&[&[switch.len() as u8, 0, 0, 3], &switch[..]].concat()).await.expect("sent");
            stream.flush().await.expect("sent");
            let body = framed(&mut stream).await?;
            stream.write_all(&[&[OK.len() as u8, 0, 0, 5], OK].concat()).await.expect("sent");
            stream.flush().await.expect("sent");
            Some(body)
        });
        let mut settings = Settings::from_url(&format!("mysql://reader@127.0.0.1:{port}"), Uuid::nil()).expect("a URL");
        settings.tls.mode = mode;
        settings.tls.ca = Some(ca);
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let outcome = log_in(socket, &settings, &Password("a-t0ken".to_string())).await;
        (outcome, serving.await.expect("a server"))
    }

    #[tokio::test]
    async fn the_password_itself_goes_to_a_verified_server_alone() {
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
            let (outcome, heard) = asked_for_clear_password(mode).await;
            outcome.expect("logged in");
            assert_eq!(heard.as_deref(), Some(&b"a-t0ken\0"[..]), "{mode:?}");
        }
        for mode in [TlsMode::Preferred, TlsMode::Required] {
            let (outcome, heard) = asked_for_clear_password(mode).await;
            let error = outcome.expect_err("refused").to_string();
            assert!(error.contains("mysql_clear_password") && error.contains("--tls verify-identity"), "{error}");
            assert_eq!(heard, None, "{mode:?}");
        }
    }
}
