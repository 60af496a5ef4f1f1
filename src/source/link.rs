//! Sessions with the server, all opened by our own login.
//!
//! In: [`Settings`]. Out: a [`MysqlLink`], which takes statements and the commands of a replica, and then gives packets; or a
//! [`Relay`], over which the client library runs queries (`connect`). The files in the order in which bytes meet them:
//! `packet`, `answer`, `greeting`, `login`, `tls`, `key`, `command`, `relay`. Owns the socket; dropping it ends the
//! session.

mod answer;
mod command;
mod failed;
mod greeting;
mod key;
mod login;
mod packet;
mod relay;
mod tls;

pub(super) use answer::{PacketKind, answer};
pub(super) use command::{dump_after, dump_from, register};
pub(super) use packet::{Broken, PACKET_BYTES_MAX, Packets};
pub(super) use relay::Relay;
pub(super) use tls::require_files;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use mysql_common::constants::CapabilityFlags;
use rustix::net::sockopt;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::column::bytes::Bytes as Cursor;

use command::{COM_QUERY, COM_QUIT, QUIT_TIMEOUT};
use login::LoginSession;

use super::error::Error;
use super::password::Password;
use super::refused::of_login_answer;
use super::session::QUESTIONS_SQL;
use super::settings::Settings;

/// Notices a dead peer while nothing is being read, for example during back-pressure.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// The smallest buffers: small ones here, and segments as small as every network carries. The server's system derives
/// the size of its own buffers from the segments; over the loopback device that would be megabytes otherwise.
const LEAST_RECEIVED_BYTES: u32 = 4 << 10;
const LEAST_SEGMENT_BYTES: u32 = 536;

/// How much may be under way between the server and us, in the buffers of both systems.
#[derive(Debug, Clone, Copy)]
pub(super) enum Room {
    /// Large enough for fast reading.
    Usual,
    /// About 50 KiB: for a stream that is not read.
    Least,
}

/// Which rows of an UPDATE the server counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum UpdateCount {
    ChangedRows,
    /// All matched rows, also those that had the new values already.
    FoundRows,
}

/// Opens a session, waiting at most `connect_timeout`; after that it accepts silence of at most `timeout`. The session
/// is set up as all sessions of rowhook are.
pub(super) async fn open(settings: &Settings, room: Room, timeout: Duration) -> Result<MysqlLink, Error> {
    let password = settings.password.read().await?;
    let mut packets = session(settings, &password, room, login::OWN_CAPABILITIES).await?.packets;
    packets.set_timeout(timeout);
    let mut link = MysqlLink { packets };
    let set_up = link.execute(QUESTIONS_SQL).await;
    match set_up {
        Ok(()) => Ok(link),
        Err(ServerRefusal::Answer { code, message }) => Err(of_login_answer(code, &message, settings)),
        Err(refusal) => Err(Error::of_refusal(refusal, &settings.address())),
    }
}

/// Opens a session for the client library, waiting at most `connect_timeout`.
pub(super) async fn relay(settings: &Settings, password: &Password, counts: UpdateCount) -> Result<Relay, Error> {
    let wanted = relay::LIBRARY_CAPABILITIES
        | match counts {
            UpdateCount::ChangedRows => CapabilityFlags::empty(),
            UpdateCount::FoundRows => CapabilityFlags::CLIENT_FOUND_ROWS,
        };
    let session = session(settings, password, Room::Usual, wanted).await?;
    let problem = |error: io::Error| format!("no port of the loopback device for the client library: {error}");
    Relay::over(session).await.map_err(|error| Error::Lost(problem(error)))
}

async fn session(
    settings: &Settings,
    password: &Password,
    room: Room,
    wanted: CapabilityFlags,
) -> Result<LoginSession, Error> {
    let refused = |problem: io::Error| Error::of_socket(&problem, &settings.address());
    let attempt = async {
        let socket = match room {
            Room::Usual => TcpStream::connect((settings.host.as_str(), settings.port)).await,
            Room::Least => connect_with_least_room(settings).await,
        };
        let socket = socket.map_err(refused)?;
        socket.set_nodelay(true).map_err(refused)?;
        sockopt::set_socket_keepalive(&socket, true).map_err(|problem| refused(problem.into()))?;
        sockopt::set_tcp_keepidle(&socket, TCP_KEEPALIVE).map_err(|problem| refused(problem.into()))?;
        let peer = socket.peer_addr().map_err(refused)?.ip();
        login::log_in(socket, peer, wanted, settings, password).await
    };
    match tokio::time::timeout(settings.connect_timeout, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Connect {
            server: settings.address(),
            problem: format!("no answer within {} s", settings.connect_timeout.as_secs()),
        }),
    }
}

/// Tries the addresses of the host one after another. The buffer sizes are set before, because both sides negotiate
/// them when the connection begins.
async fn connect_with_least_room(settings: &Settings) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host((settings.host.as_str(), settings.port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_recv_buffer_size(LEAST_RECEIVED_BYTES)?;
        SockRef::from(&socket).set_tcp_mss(LEAST_SEGMENT_BYTES)?;
        match socket.connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

#[derive(Debug)]
pub(super) struct MysqlLink {
    packets: Packets,
}

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum ServerRefusal {
    Broken(Broken),
    Answer {
        code: u16,
        message: String,
    },
    /// An answer that does not fit the question.
    Unclear,
}

impl From<Broken> for ServerRefusal {
    fn from(broken: Broken) -> ServerRefusal {
        ServerRefusal::Broken(broken)
    }
}

impl MysqlLink {
    /// Sends a command that is answered with OK.
    pub async fn command(&mut self, packet: &[u8]) -> Result<(), ServerRefusal> {
        self.packets.command(packet).await?;
        self.expect_ok().await
    }

    /// Runs a statement that gives no rows.
    pub async fn execute(&mut self, statement: &str) -> Result<(), ServerRefusal> {
        self.command(&query(statement)).await
    }

    /// Runs a statement that gives one row of one column.
    pub async fn text(&mut self, statement: &str) -> Result<String, ServerRefusal> {
        self.packets.command(&query(statement)).await?;
        let mut text = None;
        // The count of columns, the column, an end, the row, an end.
        for place in 0..5 {
            let packet = self.packets.next().await?;
            if let PacketKind::Error { code, message } = answer(&packet) {
                return Err(ServerRefusal::Answer { code, message });
            }
            match place {
                0 if *packet != [1] => return Err(ServerRefusal::Unclear),
                2 | 4 if packet.first() != Some(&0xfe) => return Err(ServerRefusal::Unclear),
                3 => {
                    let bytes = Cursor(&packet).lenenc_bytes().map_err(|_| ServerRefusal::Unclear)?;
                    text = Some(String::from_utf8_lossy(bytes).into_owned());
                }
                _ => {}
            }
        }
        text.ok_or(ServerRefusal::Unclear)
    }

    /// Sends the command whose answer is the stream; nothing else may be sent after it.
    pub async fn stream(mut self, packet: &[u8]) -> Result<Packets, ServerRefusal> {
        self.packets.command(packet).await?;
        Ok(self.packets)
    }

    /// Ends the session and waits until the server has noted it, so that it no longer counts as a connection of the account.
    pub async fn quit(mut self) {
        self.packets.set_timeout(QUIT_TIMEOUT);
        if self.packets.command(&[COM_QUIT]).await.is_ok() {
            let _ = self.packets.next().await;
        }
    }

    async fn expect_ok(&mut self) -> Result<(), ServerRefusal> {
        let packet: Bytes = self.packets.next().await?;
        match answer(&packet) {
            PacketKind::Ok => Ok(()),
            PacketKind::Error { code, message } => Err(ServerRefusal::Answer { code, message }),
            PacketKind::Other(_) => Err(ServerRefusal::Unclear),
        }
    }
}

fn query(statement: &str) -> Vec<u8> {
    [&[COM_QUERY], statement.as_bytes()].concat()
}
