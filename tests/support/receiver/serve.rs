//! The receiver's thread: takes connections, reads requests, carries out the answers of the script.
//!
//! In: a listening socket and orders. Out: requests handed to the records. One thread does it all, so requests are taken
//! one after another and their order is the order of arrival.

use std::fmt;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::Ending;
use super::{Records, Request, Tls};

/// What the serving thread is told; each is acknowledged when done.
pub(super) enum Order {
    GoDown(mpsc::Sender<()>),
    ComeBack(mpsc::Sender<()>),
}

/// A port that stays ours while no process listens on it: connections are refused then, and no other process gets it.
pub(super) struct Place {
    address: SocketAddr,
    _reserved: TcpSocket,
}

impl Place {
    /// Takes the port; 0: one of the system's choice. An error when a process listens on it.
    pub fn take(address: SocketAddr) -> std::io::Result<Place> {
        if address.port() != 0 {
            drop(std::net::TcpListener::bind(address)?);
        }
        let reserved = bound(address)?;
        Ok(Place { address: reserved.local_addr()?, _reserved: reserved })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Within a runtime.
    pub fn listen(&self) -> TcpListener {
        bound(self.address).and_then(|socket| socket.listen(1024)).expect("the port is ours")
    }
}

fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves until no orders can come any more. One thread does it all: requests are taken one after another.
pub(super) async fn serve(
    place: Place,
    listener: TcpListener,
    tls: Option<Tls>,
    records: Arc<Records>,
    mut orders: tokio::sync::mpsc::UnboundedReceiver<Order>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::GoDown(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    done.send(()).ok();
                }
                Some(Order::ComeBack(done)) => {
                    listener = Some(place.listen());
                    done.send(()).ok();
                }
            },
            accepted = accepted => {
                let (stream, _) = accepted.expect("accepting a connection");
                if records.connections_to_drop.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err() {
                    connections.spawn(converse(stream, tls.clone(), records.clone()));
                }
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(stream: TcpStream, tls: Option<Tls>, records: Arc<Records>) {
    stream.set_nodelay(true).ok();
    let Some(Tls(config)) = tls else {
        return converse_over(stream, |stream| stream, records).await;
    };
    // A handshake that fails is what the test wants.
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return converse_http2(stream, records).await;
    }
    converse_over(stream, |stream| stream.into_inner().0, records).await;
}

/// Speaks HTTP/1.1; `socket` takes the connection out of what is around it.
async fn converse_over<S>(stream: S, socket: impl Fn(S) -> TcpStream, records: Arc<Records>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let resets = AtomicBool::new(false);
    let answer = |request| Box::pin(answer(request, &records, &resets));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    // An error is how a lost answer ends, or a caller that went away: both are what the test wants.
    let _ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let stream = socket(connection.into_parts().io.into_inner());
    if resets.load(Ordering::Relaxed) {
        stream.set_zero_linger().expect("an open socket takes options");
    }
}

/// Speaks HTTP/2, where losing an answer and a reset both end the stream alone.
async fn converse_http2(stream: TlsStream<TcpStream>, records: Arc<Records>) {
    let answer = move |request| {
        let records = records.clone();
        async move { answer(request, &records, &AtomicBool::new(false)).await }
    };
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(answer));
    let _ended = connection.await;
}

/// Answers one request as the script says; an error closes the connection.
async fn answer(
    request: hyper::Request<Incoming>,
    records: &Records,
    resets: &AtomicBool,
) -> Result<hyper::Response<AnswerBody>, NoAnswer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
    let (request, answer) = records.take(head, body);
    let request = Ends(request);
    if let Some(gate) = &answer.gate {
        gate.passed().await;
    }
    if !answer.after.is_zero() {
        tokio::time::sleep(answer.after).await;
    }
    match answer.ending {
        Ending::Answer | Ending::CutShort => {}
        Ending::Hang => pending().await,
        Ending::Lose => return Err(NoAnswer),
        Ending::Reset => {
            resets.store(true, Ordering::Relaxed);
            return Err(NoAnswer);
        }
    }
    drop(request);
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let body = AnswerBody { rest: Some(answer.body), cut_short: answer.ending == Ending::CutShort, flushed: false };
    Ok(response.body(body).expect("a script's status and headers are legal"))
}

/// Notes when a request ended, also when its connection is dropped meanwhile.
struct Ends(Arc<Request>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.mark_end();
    }
}

#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script gives no answer")
    }
}

impl std::error::Error for NoAnswer {}

/// A body of known length; cut short, it promises one byte more than it has.
struct AnswerBody {
    rest: Option<Bytes>,
    cut_short: bool,
    /// What was written so far has been given time to be sent.
    flushed: bool,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = NoAnswer;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NoAnswer>>> {
        match self.rest.take().filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.cut_short && !self.flushed => {
                // On an error hyper drops what it has not sent yet; it sends when a body has nothing more for now.
                self.flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if self.cut_short => Poll::Ready(Some(Err(NoAnswer))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.cut_short && self.rest.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.as_ref().map_or(0, Bytes::len) as u64 + u64::from(self.cut_short))
    }
}
