//! Packets over a socket: the framing of MySQL's client/server protocol.
//!
//! In: bytes of a plain or a TLS socket. Out: whole packets, of which those that were sent in one piece share the read
//! buffer and are not copied. Owns the socket, the buffer and the count of packets, whose gaps it notices. Every wait for
//! bytes has a limit; between waits nothing allocates or arms a timer per packet. Does not read the contents of packets.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Length and sequence number before each piece.
pub(super) const HEAD_BYTES: usize = 4;

/// A piece of this length is followed by another one of the same packet.
pub(super) const PIECE_BYTES_MAX: usize = 0xff_ffff;

/// The largest packet of the protocol: an event may be larger than the server's own `max_allowed_packet`, because an
/// update holds a row twice.
pub(in crate::source) const PACKET_BYTES_MAX: usize = 1 << 30;

/// Room for one read: a few dozen events of usual size.
const BUFFER_BYTES: usize = 256 << 10;

/// Less room than this is not worth a read.
const READ_BYTES_MIN: usize = 32 << 10;

/// A buffer that grew beyond this for one packet is not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Why no packet came.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum Broken {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("packets came out of order")]
    OutOfOrder,
    #[error("a packet of more than 1 GiB")]
    TooLarge,
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Debug)]
pub(in crate::source) struct Packets {
    socket: Socket,
    buffer: BytesMut,
    /// A packet of several pieces, as far as it has come.
    joined: Option<Joined>,
    sequence: u8,
    /// The longest silence that is accepted.
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Joined {
    bytes: BytesMut,
    /// The sequence number of the current piece.
    missing_bytes: usize,
    is_last: bool,
}

impl Packets {
    pub(super) fn new(socket: Socket, timeout: Duration) -> Packets {
        Packets { socket, buffer: BytesMut::with_capacity(BUFFER_BYTES), joined: None, sequence: 0, timeout }
    }

    /// The socket itself, to start TLS on it; None when the server sent more than it may before that.
    pub(super) fn into_plain_socket(self) -> Option<TcpStream> {
        match self.socket {
            Socket::Plain(socket) if self.buffer.is_empty() && self.joined.is_none() => Some(socket),
            _ => None,
        }
    }

    /// The socket itself; None when bytes have come that were not read.
    pub(super) fn into_socket(self) -> Option<Socket> {
        (self.buffer.is_empty() && self.joined.is_none()).then_some(self.socket)
    }

    /// Continues over another socket, with the same sequence numbers.
    pub(super) fn with_sequence(mut self, sequence: u8) -> Packets {
        self.sequence = sequence;
        self
    }

    pub(super) fn sequence(&self) -> u8 {
        self.sequence
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The next packet, if it is in the buffer already.
    pub fn try_next(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.joined.is_some() {
            return self.join();
        }
        let Some((length, sequence)) = self.head() else { return Ok(None) };
        if length == PIECE_BYTES_MAX {
            self.joined = Some(Joined::default());
            return self.join();
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.count(sequence)?;
        let mut packet = self.buffer.split_to(HEAD_BYTES + length).freeze();
        packet.advance(HEAD_BYTES);
        Ok(Some(packet))
    }

    /// Waits for more bytes, at most for the longest silence that is accepted.
    pub async fn fill(&mut self) -> Result<(), Broken> {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
        }
        let wanted_bytes = match (&self.joined, self.head()) {
            (None, Some((length, _))) if length < PIECE_BYTES_MAX => HEAD_BYTES + length,
            _ => HEAD_BYTES,
        };
        let missing_bytes = wanted_bytes.saturating_sub(self.buffer.len());
        if self.buffer.capacity() - self.buffer.len() < missing_bytes.max(READ_BYTES_MIN) {
            self.buffer.reserve(missing_bytes.max(BUFFER_BYTES));
        }
        let reading = async {
            match &mut self.socket {
                Socket::Plain(socket) => socket.read_buf(&mut self.buffer).await,
                Socket::Tls(socket) => socket.read_buf(&mut self.buffer).await,
            }
        };
        match tokio::time::timeout(self.timeout, reading).await {
            Err(_) => Err(Broken::Silent(self.timeout)),
            Ok(Err(problem)) if problem.kind() == io::ErrorKind::UnexpectedEof => Err(Broken::Closed),
            Ok(outcome) => match outcome? {
                0 => Err(Broken::Closed),
                _ => Ok(()),
            },
        }
    }

    pub async fn next(&mut self) -> Result<Bytes, Broken> {
        loop {
            if let Some(packet) = self.try_next()? {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    /// Sends a packet that begins a command.
    pub(super) async fn command(&mut self, packet: &[u8]) -> Result<(), Broken> {
        self.sequence = 0;
        self.send(packet).await
    }

    /// Sends a packet within an exchange.
    pub(super) async fn send(&mut self, packet: &[u8]) -> Result<(), Broken> {
        let mut framed = Vec::with_capacity(HEAD_BYTES + packet.len());
        // A last piece of full length is followed by an empty one, which ends the packet.
        for at in (0..=packet.len()).step_by(PIECE_BYTES_MAX) {
            let piece = &packet[at..packet.len().min(at + PIECE_BYTES_MAX)];
            framed.extend_from_slice(&(piece.len() as u32).to_le_bytes()[..3]);
            framed.push(self.sequence);
            framed.extend_from_slice(piece);
            self.sequence = self.sequence.wrapping_add(1);
        }
        let writing = async {
            match &mut self.socket {
                Socket::Plain(socket) => socket.write_all(&framed).await,
                Socket::Tls(socket) => {
                    socket.write_all(&framed).await?;
                    socket.flush().await
                }
            }
        };
        match tokio::time::timeout(self.timeout, writing).await {
            Err(_) => Err(Broken::Silent(self.timeout)),
            Ok(outcome) => Ok(outcome?),
        }
    }

    /// Length and sequence number of the piece that comes next.
    fn head(&self) -> Option<(usize, u8)> {
        let [low, middle, high, sequence] = *self.buffer.first_chunk::<HEAD_BYTES>()?;
        Some((usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16, sequence))
    }

    fn count(&mut self, sequence: u8) -> Result<(), Broken> {
        if sequence != self.sequence {
            return Err(Broken::OutOfOrder);
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(())
    }

    /// Moves the bytes of a packet of several pieces out of the buffer; returns the packet when it is whole.
    fn join(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut joined = self.joined.take().unwrap_or_default();
        loop {
            let here = joined.missing_bytes.min(self.buffer.len());
            joined.bytes.extend_from_slice(&self.buffer[..here]);
            self.buffer.advance(here);
            joined.missing_bytes -= here;
            if joined.missing_bytes == 0 && joined.is_last {
                return Ok(Some(joined.bytes.freeze()));
            }
            let Some((length, sequence)) = self.head().filter(|_| joined.missing_bytes == 0) else {
                self.joined = Some(joined);
                return Ok(None);
            };
            self.count(sequence)?;
            self.buffer.advance(HEAD_BYTES);
            if joined.bytes.len() + length > PACKET_BYTES_MAX {
                return Err(Broken::TooLarge);
            }
            joined.missing_bytes = length;
            joined.is_last = length < PIECE_BYTES_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const DEADLINE: Duration = Duration::from_secs(10);

    async fn pair() -> (Packets, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a client");
        (Packets::new(Socket::Plain(client), DEADLINE), server)
    }

    fn framed(pieces: &[(&[u8], u8)]) -> Vec<u8> {
        let frame =
            |(piece, sequence): &(&[u8], u8)| [&(piece.len() as u32).to_le_bytes()[..3], &[*sequence], piece].concat();
        pieces.iter().flat_map(frame).collect()
    }

    #[tokio::test]
    async fn packets_of_one_piece_share_the_buffer_and_those_of_several_are_joined() {
        let (mut packets, mut server) = pair().await;
        let full = vec![7; PIECE_BYTES_MAX];
        let bytes =
            framed(&[(b"one", 0), (b"", 1), (&full, 2), (&full, 3), (b"tail", 4), (&full, 5), (b"", 6), (b"x", 7)]);
        let writing = tokio::spawn(async move { server.write_all(&bytes).await.map(|()| server) });
        assert_eq!(packets.next().await.expect("a packet"), b"one"[..]);
        assert_eq!(packets.next().await.expect("a packet"), b""[..]);
        let joined = packets.next().await.expect("a packet");
        assert_eq!(joined.len(), 2 * PIECE_BYTES_MAX + 4);
        assert!(joined.ends_with(b"\x07tail"));
        assert_eq!(packets.next().await.expect("a packet").len(), PIECE_BYTES_MAX);
        assert_eq!(packets.next().await.expect("a packet"), b"x"[..]);
        drop(writing.await.expect("a task").expect("written"));
        assert!(matches!(packets.next().await, Err(Broken::Closed)));
    }

    #[tokio::test]
    async fn a_gap_between_packets_is_noticed() {
        let (mut packets, mut server) = pair().await;
        server.write_all(&framed(&[(b"a", 0), (b"c", 2)])).await.expect("written");
        packets.next().await.expect("a packet");
        assert!(matches!(packets.next().await, Err(Broken::OutOfOrder)));
    }

    #[tokio::test]
    async fn silence_ends_in_an_error() {
        let (mut packets, mut server) = pair().await;
        packets.set_timeout(Duration::from_millis(50));
        server.write_all(&framed(&[(b"whole", 0)])[..6]).await.expect("written");
        assert!(matches!(packets.next().await, Err(Broken::Silent(_))));
    }

    #[tokio::test]
    async fn what_is_sent_is_framed_the_same_way() {
        let (mut packets, server) = pair().await;
        let mut peer = Packets::new(Socket::Plain(server), DEADLINE);
        for length in [0, 5, PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1] {
            let sent = vec![3; length];
            peer.sequence = 0;
            let (outcome, received) = tokio::join!(packets.command(&sent), peer.next());
            outcome.expect("sent");
            assert_eq!(received.expect("a packet").len(), length);
        }
    }
}
