//! The receiver of the benches: as little work per request as HTTP/1.1 allows, so that what is measured is the sender.
//!
//! One thread of its own. Counts requests and notes when the first and the newest came; answers 200 with an empty body,
//! after a delay where one is asked for. Requests to `/bad` are not counted and are answered 500.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Measured here: a sleep of 20 ms ends after 21.0 ms on average.
const TIMER_ROUNDS_UP: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Seen {
    requests: u64,
    body_bytes: u64,
    first: Option<Instant>,
    newest: Option<Instant>,
    /// Who waits is woken once, when so many came: waking it for each would take time from the sender.
    awaited: u64,
    answer_time: Duration,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

pub struct Counter {
    seen: Shared,
    port: u16,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Counter {
    pub fn start(delay: Duration) -> Counter {
        Counter::start_on(0, delay)
    }

    pub fn start_on(port: u16, delay: Duration) -> Counter {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let port = listener.local_addr().expect("an address").port();
        let seen = Shared::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shared = seen.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, shared, delay) => {}
                    _ = stopped => {}
                }
            });
        });
        Counter { seen, port, stop: Some(stop) }
    }

    pub fn url(&self) -> String {
        self.url_of("call")
    }

    pub fn url_of(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Waits until so many requests came, and says when the newest one did.
    pub fn wait_for(&self, requests: u64, deadline: Duration) -> Instant {
        let (seen, arrived) = &*self.seen;
        let mut guard = seen.lock().expect("not poisoned");
        guard.awaited = requests;
        let (guard, timeout) =
            arrived.wait_timeout_while(guard, deadline, |seen| seen.requests < requests).expect("not poisoned");
        assert!(!timeout.timed_out(), "{} of {requests} requests came within {deadline:?}", guard.requests);
        guard.newest.expect("at least one came")
    }

    /// Requests a second between the first and the newest.
    pub fn per_second(&self) -> f64 {
        let seen = self.seen.0.lock().expect("not poisoned");
        let (first, newest) = (seen.first.expect("requests came"), seen.newest.expect("requests came"));
        (seen.requests - 1) as f64 / (newest - first).as_secs_f64()
    }

    /// Mean seconds from a request's last byte to its answer's first: the delay, and what the timer adds.
    pub fn mean_answer_s(&self) -> f64 {
        let seen = self.seen.0.lock().expect("not poisoned");
        seen.answer_time.as_secs_f64() / seen.requests as f64
    }

    pub fn body_bytes(&self) -> u64 {
        self.seen.0.lock().expect("not poisoned").body_bytes
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

async fn accept(listener: TcpListener, seen: Shared, delay: Duration) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket option");
        tokio::spawn(serve(stream, seen.clone(), delay));
    }
}

async fn serve(mut stream: TcpStream, seen: Shared, delay: Duration) {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        while let Some((head, body)) = request_length(&buffer) {
            if buffer.starts_with(b"POST /bad ") {
                buffer.drain(..head + body);
                if stream.write_all(b"HTTP/1.1 500 Bad\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    return;
                }
                continue;
            }
            let arrived = note(&seen, body as u64);
            buffer.drain(..head + body);
            if !delay.is_zero() {
                // The runtime's timer rounds up to the next millisecond, so aim below and come out around the delay.
                tokio::time::sleep(delay - TIMER_ROUNDS_UP).await;
                seen.0.lock().expect("not poisoned").answer_time += arrived.elapsed();
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn note(seen: &Shared, body_bytes: u64) -> Instant {
    let now = Instant::now();
    let mut guard = seen.0.lock().expect("not poisoned");
    guard.requests += 1;
    guard.body_bytes += body_bytes;
    guard.first.get_or_insert(now);
    guard.newest = Some(now);
    if guard.requests == guard.awaited {
        seen.1.notify_all();
    }
    now
}

/// Lengths of head and body, once a whole request is there.
fn request_length(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).expect("an ASCII head");
    let body = text
        .lines()
        .find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")))
        .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
    (buffer.len() >= head + body).then_some((head, body))
}
