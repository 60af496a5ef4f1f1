//! From an open socket to an authenticated session.
//!
//! In: a socket and the account. Out: packets over it, encrypted as the TLS mode says. The one place that logs in, also
//! for the client library, which gets a session and no password. Supports `caching_sha2_password`: its fast way, the
//! password in clear text over TLS, and the password encrypted with an RSA key without TLS; `mysql_native_password` for
//! accounts of 8.0 servers; `mysql_clear_password`, which cloud tokens need, only over TLS to a verified server; and
//! one switch between them. All other plugins are refused by name. Without TLS the password is encrypted with a key
//! that the settings name; only over the loopback device with the key that the server sends, because on a network an
//! attacker could send another key.

use std::borrow::Cow;
use std::net::IpAddr;

use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use tokio::net::TcpStream;

use super::super::error::Error;
use super::super::password::Password;
use super::super::refused::{of_bare_password, of_clear_password, of_login_answer, of_plugin, of_removed_tls};
use super::super::settings::{Settings, TlsMode};
use super::answer::{PacketKind, answer};
use super::greeting::{Greeting, NONCE_BYTES};
use super::key::PublicKey;
use super::packet::{Broken, PACKET_BYTES_MAX, Packets, Socket};
use super::tls;

/// `utf8mb4_general_ci`: every server knows it.
const COLLATION: u8 = 45;

/// Any version that knows `utf8mb4`; the real version is read later.
const SERVER_VERSION: (u16, u16, u16) = (8, 0, 0);

/// The capabilities that rowhook's own commands need.
pub(super) const OWN_CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_PROTOCOL_41
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_LONG_PASSWORD)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH);

/// A session, and what was agreed on.
#[derive(Debug)]
pub(super) struct LoginSession {
    pub packets: Packets,
    pub capabilities: CapabilityFlags,
    pub connection_id: u32,
    pub status: StatusFlags,
}

/// `peer` is the address that the socket leads to, `wanted` what the session is to be able to do if the server can.
pub(super) async fn log_in(
    socket: TcpStream,
    peer: IpAddr,
    wanted: CapabilityFlags,
    settings: &Settings,
    password: &Password,
) -> Result<LoginSession, Error> {
    let broken = |problem: Broken| Error::of_broken_login(&problem, &settings.address());
    let unclear = |what: &str| Error::Connect { server: settings.address(), problem: what.to_string() };
    let mut packets = Packets::new(Socket::Plain(socket), settings.connect_timeout);
    let greeting = packets.next().await.map_err(broken)?;
    if let PacketKind::Error { code, message } = answer(&greeting) {
        return Err(of_login_answer(code, &message, settings));
    }
    let greeting = Greeting::parse(&greeting).ok_or_else(|| unclear("no greeting of MySQL"))?;
    let mut capabilities = greeting.capabilities & wanted;
    if settings.tls.mode != TlsMode::Disabled {
        if greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
            capabilities |= CapabilityFlags::CLIENT_SSL;
            packets = encrypt(packets, capabilities, settings).await?;
            settings.encrypted.remember(&settings.address());
        } else if settings.tls.mode != TlsMode::Preferred {
            return Err(Error::without_tls(&settings.address()));
        } else if settings.encrypted.has(&settings.address())? {
            return Err(of_removed_tls(settings));
        }
    }
    let Greeting { nonce, connection_id, status, .. } = greeting;
    let plugin = match &*greeting.plugin {
        b"caching_sha2_password" => AuthPlugin::CachingSha2Password,
        // The server asks for a switch when the account has another plugin than it proposes.
        _ => AuthPlugin::MysqlNativePassword,
    };
    let proof = plugin.gen_data(Some(&password.0), &nonce);
    let response = HandshakeResponse::new(
        proof.as_deref().map(Cow::from),
        SERVER_VERSION,
        Some(settings.user.as_bytes()),
        None::<&[u8]>,
        Some(plugin.borrow()),
        capabilities,
        None,
        PACKET_BYTES_MAX as u32,
    );
    packets.send(&serialized(&response)).await.map_err(broken)?;
    let exchange =
        Exchange { packets, peer, settings, password, plugin: plugin.into_owned(), nonce, is_switched: false };
    Ok(LoginSession { packets: exchange.run().await?, capabilities, connection_id, status })
}

async fn encrypt(mut packets: Packets, capabilities: CapabilityFlags, settings: &Settings) -> Result<Packets, Error> {
    let request = SslRequest::new(capabilities, PACKET_BYTES_MAX as u32, COLLATION);
    let broken = |problem: Broken| Error::of_broken_login(&problem, &settings.address());
    packets.send(&serialized(&request)).await.map_err(broken)?;
    let sequence = packets.sequence();
    // Bytes that came before the encryption are not authenticated: they may be an attacker's.
    let socket = packets.into_plain_socket();
    let socket = socket.ok_or_else(|| Error::of_tls(&settings.address(), "the server spoke before its time"))?;
    let socket = tls::encrypt(socket, settings).await?;
    Ok(Packets::new(Socket::Tls(Box::new(socket)), settings.connect_timeout).with_sequence(sequence))
}

pub(super) fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// Exchanges packets until the server accepts the login.
struct Exchange<'a> {
    packets: Packets,
    peer: IpAddr,
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
                (PacketKind::Ok, _) => return Ok(self.packets),
                (PacketKind::Error { code, message }, _) => {
                    return Err(of_login_answer(code, &message, self.settings));
                }
                (PacketKind::Other(0xfe), _) if !self.is_switched => self.switch(&packet).await?,
                (PacketKind::Other(1), AuthPlugin::CachingSha2Password) => match packet.get(1) {
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

    /// Sends the password itself, for plugins that need it: encrypted, and only to a verified server.
    async fn send_clear(&mut self) -> Result<(), Error> {
        if !(self.packets.is_encrypted() && self.settings.tls.mode.verifies()) {
            return Err(of_clear_password(self.settings));
        }
        self.plugin = AuthPlugin::MysqlClearPassword;
        let password = [self.password.0.as_bytes(), &[0]].concat();
        self.send(&password).await
    }

    /// The full way of `caching_sha2_password`: sends the password itself, encrypted by TLS or with an RSA key.
    async fn prove(&mut self) -> Result<(), Error> {
        if self.packets.is_encrypted() {
            let password = [self.password.0.as_bytes(), &[0]].concat();
            return self.send(&password).await;
        }
        let key = match &self.settings.tls.public_key {
            Some(path) => tls::public_key(path)?,
            None if self.peer.to_canonical().is_loopback() => self.ask_for_key().await?,
            None => return Err(of_bare_password(self.settings)),
        };
        let hidden = key.hide(self.password, &self.nonce).ok_or_else(|| Error::PasswordKept {
            server: self.settings.address(),
            problem: "it is too long for the server's RSA key".to_string(),
            fix: "--tls required or stricter".to_string(),
        })?;
        self.send(&hidden).await
    }

    async fn ask_for_key(&mut self) -> Result<PublicKey, Error> {
        self.send(&[2]).await?;
        let packet = self.next().await?;
        if let PacketKind::Error { code, message } = answer(&packet) {
            return Err(of_login_answer(code, &message, self.settings));
        }
        let Some((1, pem)) = packet.split_first() else { return Err(self.unclear()) };
        PublicKey::parse(pem).map_err(|problem| Error::PasswordKept {
            server: self.settings.address(),
            problem: format!("the server's RSA key does not do: {problem}"),
            fix: "--tls required or stricter".to_string(),
        })
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
mod tests;
