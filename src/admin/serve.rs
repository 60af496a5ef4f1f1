//! Serves a router on a listener, with limits that axum's own loop does not have.
//!
//! In: a bound listener (TCP or Unix), a router, a stop. Out: answers, one for each connection. Keeps promise 6: so many connections
//! at a time, of which so many from one network may be at a request's head, so long for that head, so long to finish at the
//! stop. No connection waits for a slot: where there is none, the oldest connection without a whole head is closed, so that
//! clients that only open connections keep out only themselves. Knows nothing of what the router answers.

mod slots;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;

use slots::{ConnectionSlots, WhenFull};

/// A client that has not sent a request's head by then is disconnected. Probes send it at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a head may be. Those of probes and Prometheus have a few hundred bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// A client that has not taken a whole answer by then is disconnected, where answers are short.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers under way may take once the stop is given.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// For all clients: no answer takes longer than `ANSWER_TIMEOUT`.
    Short,
    /// For clients that the file system admits: reports may go on for as long as what they report.
    Long,
}

/// Where a connection comes from.
pub(super) trait Peer {
    /// None: from this user of this machine.
    fn network(&self) -> Option<IpAddr>;
}

impl Peer for SocketAddr {
    /// An IPv6 client has a whole /64 of addresses.
    fn network(&self) -> Option<IpAddr> {
        Some(match self.ip().to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
            address => address,
        })
    }
}

impl Peer for tokio::net::unix::SocketAddr {
    fn network(&self) -> Option<IpAddr> {
        None
    }
}

/// Serves until `stop` turns true.
pub(super) async fn serve<L: Listener<Addr: Peer>>(
    mut listener: L,
    router: Router,
    answers: Answers,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(ConnectionSlots::default());
    let when_full = match answers {
        Answers::Short => WhenFull::EndOldest,
        Answers::Long => WhenFull::RefuseNew,
    };
    let mut connections = JoinSet::new();
    loop {
        let (io, peer) = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        // Earlier connections get a turn to read first, before one of them is closed for this one.
        tokio::task::yield_now().await;
        places.take(peer.network(), when_full, |place| {
            let answering = answer_one(io, router.clone(), place.number(), Arc::clone(&places), stop.clone());
            connections.spawn(async move {
                match answers {
                    Answers::Short => drop(tokio::time::timeout(HEAD_TIMEOUT + ANSWER_TIMEOUT, answering).await),
                    Answers::Long => answering.await,
                }
                drop(place);
            })
        });
    }
    let all_finished = async { while connections.join_next().await.is_some() {} };
    // What is still under way after that is dropped with the set.
    let _ = tokio::time::timeout(FINISH_TIMEOUT, all_finished).await;
}

async fn answer_one<Io>(
    io: Io,
    router: Router,
    number: u64,
    places: Arc<ConnectionSlots>,
    mut stop: watch::Receiver<bool>,
) where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        places.head_is_whole(number);
        router.call(request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX).keep_alive(false);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin port ended early");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender of the stop is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let network = |text: &str| text.parse::<SocketAddr>().expect(text).network();
        assert_eq!(network("[2001:db8::1]:5"), network("[2001:db8::ffff:2]:6"));
        assert_ne!(network("[2001:db8::1]:5"), network("[2001:db8:0:1::1]:5"));
        assert_eq!(network("[::ffff:10.0.0.1]:5"), network("10.0.0.1:6"));
        assert_ne!(network("10.0.0.1:5"), network("10.0.0.2:5"));
    }

    #[tokio::test]
    async fn connections_with_half_requests_make_room_for_others_the_oldest_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = watch::channel(false);
        let router = Router::new().route("/healthz", get(async || "alive\n"));
        let serving = tokio::spawn(serve(listener, router, Answers::Short, stopping));
        let mut half = Vec::new();
        for _ in 0..500 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc").await.expect("written");
            half.push(stream);
            // One that is whole is answered at once, whatever else waits.
            if half.len().is_multiple_of(100) {
                let mut whole = TcpStream::connect(address).await.expect("a connection");
                whole.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
                let mut text = String::new();
                // Well within what a half request may take.
                let reading = whole.read_to_string(&mut text);
                tokio::time::timeout(HEAD_TIMEOUT / 2, reading).await.expect("in time").expect("an answer");
                assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("alive\n"), "{text}");
            }
        }
        // The newest is still there, and gets its answer when it goes on; the oldest was closed without one.
        let mut text = String::new();
        let mut newest = half.pop().expect("five hundred");
        newest.write_all(b"alhost\r\n\r\n").await.expect("written");
        newest.read_to_string(&mut text).await.expect("an answer");
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        let mut rest = Vec::new();
        let ended = half.remove(0).read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{ended:?}");
        stop.send_replace(true);
        serving.await.expect("it ends");
    }
}
