//! Lets the client library use a session of rowhook, without the password.
//!
//! In: a session that our own login opened. Out: a port of the loopback device and a password for one use, with which
//! the client library logs in here. After that the relay carries bytes unchanged in both directions, as long as the
//! server's bytes are answers (`answers`). So there is one login, with one list of plugins, one kind of TLS and one
//! protection of the password. The relay is needed because the library can't be given a socket. It ends with either
//! side; when the library closes its connection, the session ends.

mod answers;

use std::io;
use std::time::Duration;

use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{HandshakePacket, HandshakeResponse};
use mysql_common::scramble::scramble_native;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::command::QUIT_TIMEOUT;
use super::greeting::NONCE_BYTES;
use super::login::{LoginSession, OWN_CAPABILITIES, serialized};
use super::packet::{Broken, Packets, Socket};
use answers::{AnswerFollower, Asked, NoAnswer, Questions};

/// The capabilities that the client library uses, without LOCAL INFILE: a server can't ask for files in a session that
/// did not offer them.
pub(super) const LIBRARY_CAPABILITIES: CapabilityFlags = OWN_CAPABILITIES
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// The library answers at once; another process on this machine might not.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(1);

/// The buffer for each direction: rows come in more and larger pieces than queries.
const QUESTION_BYTES: usize = 16 << 10;
const ANSWER_BYTES: usize = 64 << 10;

/// The version that the relay reports; the real one is read later, because the library panics at some versions.
const SERVER_VERSION: &[u8] = b"8.0.11";

/// `utf8mb4_general_ci`, with which the session is set up in any case.
const COLLATION: u8 = 45;

/// The port where the library connects. Dropping it ends the wait for the library; once the library has logged in,
/// dropping it ends nothing.
#[derive(Debug)]
pub(in crate::source) struct Relay {
    pub port: u16,
    /// Good for this one login, at this port.
    pub password: String,
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Relay {
    pub(super) async fn over(session: LoginSession) -> io::Result<Relay> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let password = Uuid::new_v4().simple().to_string();
        let accepting = tokio::spawn(accept(listener, session, password.clone()));
        Ok(Relay { port, password, accepting })
    }
}

/// Waits until a client connects that knows the password.
async fn accept(listener: TcpListener, session: LoginSession, password: String) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        match greet(socket, &session, &password).await {
            Ok(library) => {
                let answers = AnswerFollower::new(session.capabilities);
                if let Some(server) = session.packets.into_socket() {
                    // A task of its own, which lives on after the wait for the library.
                    tokio::spawn(carry(library, server, answers));
                }
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "another process connected to the port that is meant for the client library")
            }
        }
    }
}

/// Does the server's part of a login; the session with the real server is logged in already.
async fn greet(socket: TcpStream, session: &LoginSession, password: &str) -> Result<TcpStream, Broken> {
    let stranger = || Broken::Socket(io::Error::from(io::ErrorKind::PermissionDenied));
    socket.set_nodelay(true)?;
    let mut packets = Packets::new(Socket::Plain(socket), LIBRARY_TIMEOUT);
    let drawn = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    let (nonce, offered) = (&drawn[..NONCE_BYTES], session.capabilities - CapabilityFlags::CLIENT_SSL);
    let greeting = HandshakePacket::new(
        10,
        SERVER_VERSION,
        session.connection_id,
        nonce[..8].try_into().expect("eight of twenty bytes"),
        Some([&nonce[8..], &[0]].concat()),
        offered,
        COLLATION,
        session.status,
        Some(b"mysql_native_password".as_slice()),
    );
    packets.send(&serialized(&greeting)).await?;
    let response = packets.next().await?;
    let response: HandshakeResponse<'_> = ParseBuf(&response).parse(()).map_err(|_| stranger())?;
    let proof = scramble_native(nonce, password.as_bytes()).expect("the password is not empty");
    // Both sides must read answers in the same way, so their capabilities must agree.
    if response.scramble_buf() != proof || response.capabilities() != offered {
        return Err(stranger());
    }
    let [low, high] = session.status.bits().to_le_bytes();
    packets.send(&[0, 0, 0, low, high, 0, 0]).await?;
    packets.into_plain_socket().ok_or_else(stranger)
}

/// Why a session of the library ended before its time.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    NoAnswer(#[from] NoAnswer),
}

async fn carry(library: TcpStream, server: Socket, answers: AnswerFollower) {
    let carried = match server {
        Socket::Plain(server) => carry_between(library, server, answers).await,
        Socket::Tls(server) => carry_between(library, *server, answers).await,
    };
    match carried {
        Ok(()) => {}
        Err(Cut::NoAnswer(problem)) => {
            tracing::warn!(%problem, "a connection to mysql was closed: the server sent something that is not an answer");
        }
        Err(error) => tracing::debug!(%error, "a session of the client library ended early"),
    }
}

async fn carry_between(
    library: TcpStream,
    server: impl AsyncRead + AsyncWrite + Unpin,
    mut answers: AnswerFollower,
) -> Result<(), Cut> {
    let (asked, mut questions) = (Asked::nothing(), Questions::default());
    let (from_library, to_library) = library.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    let asking = pump(from_library, to_server, QUESTION_BYTES, |piece| questions.see(piece, &asked));
    let mut answering = std::pin::pin!(pump(from_server, to_library, ANSWER_BYTES, |piece| answers.see(piece, &asked)));
    tokio::select! {
        ended = answering.as_mut() => ended,
        ended = asking => {
            ended?;
            // The server ends the session by itself then; if it does not, it is not waited for.
            tokio::time::timeout(QUIT_TIMEOUT, answering).await.unwrap_or(Ok(()))
        }
    }
}

/// Carries checked bytes until the end of the stream, and then closes the other side.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    piece_bytes: usize,
    mut see: impl FnMut(&[u8]) -> Result<(), NoAnswer>,
) -> Result<(), Cut> {
    let mut piece = vec![0; piece_bytes];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(to.shutdown().await?);
        }
        see(&piece[..length])?;
        to.write_all(&piece[..length]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::prelude::Queryable as _;
    use mysql_async::{Conn, OptsBuilder};
    use mysql_common::constants::StatusFlags;

    use super::*;

    const COM_PING: u8 = 0x0e;

    /// A relay, and the other end of the session behind it.
    async fn relay() -> (Relay, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a client");
        let session = LoginSession {
            packets: Packets::new(Socket::Plain(socket), Duration::from_secs(10)),
            capabilities: LIBRARY_CAPABILITIES | CapabilityFlags::CLIENT_SSL,
            connection_id: 77,
            status: StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        };
        (Relay::over(session).await.expect("a relay"), server)
    }

    fn options(relay: &Relay, password: &str) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(relay.port)
            .user(Some("rowhook"))
            .pass(Some(password))
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 20))
            .wait_timeout(Some(60))
    }

    #[tokio::test]
    async fn only_the_library_gets_the_session_and_the_session_ends_with_its_connection() {
        let (relay, mut server) = relay().await;
        // Another process that found the port, with and without a try at the password.
        Conn::new(options(&relay, "guessed")).await.expect_err("a stranger");
        drop(TcpStream::connect(("127.0.0.1", relay.port)).await.expect("a connection"));
        let mut connection = Conn::new(options(&relay, &relay.password)).await.expect("logged in");
        assert_eq!(connection.id(), 77);
        drop(relay);
        let (pinged, ()) = tokio::join!(connection.ping(), async {
            let mut question = [0; 5];
            server.read_exact(&mut question).await.expect("a question");
            assert_eq!(question, [1, 0, 0, 0, COM_PING], "nothing was said before");
            server.write_all(&[7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]).await.expect("answered");
        });
        pinged.expect("an answer");
        drop(connection);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.expect("the end");
    }

    #[tokio::test]
    async fn the_library_never_gets_bytes_that_are_no_answer() {
        let (relay, mut server) = relay().await;
        let mut connection = Conn::new(options(&relay, &relay.password)).await.expect("logged in");
        let (answer, ()) = tokio::join!(connection.query_drop("SELECT 1"), async {
            let mut question = [0; 13];
            server.read_exact(&mut question).await.expect("a question");
            // 65,536 columns.
            server.write_all(&[4, 0, 0, 1, 0xfd, 0, 0, 1]).await.expect("answered");
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.expect("the end");
        });
        answer.expect_err("the connection is cut");
    }
}
