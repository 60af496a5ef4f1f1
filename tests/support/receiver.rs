//! A third-party API as tests need it: an HTTP receiver that answers, delays, hangs, resets and loses as scripted.
//!
//! In: a script, `Fn(&Request) -> Answer`, called once per request that has arrived completely. Out: a record of all
//! requests in order of arrival, each with its number, its attempt (requests with the same `Idempotency-Key`, or without one
//! the same method and path) and whether it took effect: a request does when it is answered 2xx, and also when it is
//! carried out and the answer is lost. Serves from a thread of its own, so it answers while a test blocks; waiting for
//! requests is by event. On 127.0.0.1: HTTP/1.1, or with `start_tls` over TLS what the caller chooses of
//! HTTP/1.1 and HTTP/2. Keeps every request until `forget` or `count_only`.

mod answer;
mod request;
mod serve;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

pub use answer::{Answer, Gate};
pub use request::Request;
use serve::{Order, serve};
pub use tls::{Authority, Identity, Tls};

type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The running receiver; it ends at `Drop`.
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    records: Arc<Records>,
    orders: Option<tokio::sync::mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

struct Records {
    script: Mutex<Script>,
    arrivals: Mutex<Arrivals>,
    arrived: Notify,
    count: AtomicUsize,
    keeps: AtomicBool,
    connections_to_drop: AtomicUsize,
}

#[derive(Default)]
struct Arrivals {
    requests: Vec<Arc<Request>>,
    attempts: HashMap<String, usize>,
    effects: HashMap<String, usize>,
}

impl Receiver {
    /// Starts a receiver on a port of the system's choice.
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Receiver {
        Receiver::start_on(0, script).expect("the system has a free port")
    }

    /// Starts a receiver on this port of 127.0.0.1; an error when it is taken.
    pub fn start_on(
        port: u16,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> std::io::Result<Receiver> {
        Receiver::launch(port, None, script)
    }

    /// Starts a receiver that speaks TLS.
    pub fn start_tls(tls: Tls, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Receiver {
        Receiver::launch(0, Some(tls), script).expect("the system has a free port")
    }

    fn launch(
        port: u16,
        tls: Option<Tls>,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> std::io::Result<Receiver> {
        let place = serve::Place::take((Ipv4Addr::LOCALHOST, port).into())?;
        let address = place.address();
        let records = Arc::new(Records {
            script: Mutex::new(Arc::new(script)),
            arrivals: Mutex::default(),
            arrived: Notify::new(),
            count: AtomicUsize::new(0),
            keeps: AtomicBool::new(true),
            connections_to_drop: AtomicUsize::new(0),
        });
        let (orders, received_orders) = tokio::sync::mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        // From now on, not from when the thread gets its turn.
        let entered = runtime.enter();
        let listener = place.listen();
        drop(entered);
        let serving = serve(place, listener, tls, records.clone(), received_orders);
        let thread = thread::Builder::new().name("receiver".to_owned()).spawn(move || runtime.block_on(serving))?;
        Ok(Receiver { address, scheme, records, orders: Some(orders), thread: Some(thread) })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:port` (with TLS `https:`) and `path`, which begins with a slash or is empty.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// From the next request on, another script answers.
    pub fn set_script(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.records.script.lock().expect("no script was set by a panicking thread") = Arc::new(script);
    }

    /// All requests in order of arrival, since the start or the last `forget`.
    pub fn received(&self) -> Vec<Arc<Request>> {
        self.records.arrivals().requests.clone()
    }

    /// The number of requests since the start, also those not kept.
    pub fn count(&self) -> usize {
        self.records.count.load(Ordering::Relaxed)
    }

    /// How often each idempotency key was carried out; keys that never were are absent.
    pub fn effects(&self) -> BTreeMap<String, usize> {
        self.records.arrivals().effects.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// Forgets all requests, attempts and effects; the numbers go on.
    pub fn forget(&self) {
        *self.records.arrivals() = Arrivals::default();
    }

    /// From now on counts requests without keeping them, for runs of millions; `attempt` is then always 1.
    pub fn count_only(&self) {
        self.records.keeps.store(false, Ordering::Relaxed);
    }

    /// Closes the next `count` connections as soon as they are made, before anything is read.
    pub fn drop_connections(&self, count: usize) {
        self.records.connections_to_drop.store(count, Ordering::Relaxed);
    }

    /// Closes all connections and the port: callers are refused until `come_back`.
    pub fn go_down(&self) {
        self.order(Order::GoDown);
    }

    /// Listens again on the same port.
    pub fn come_back(&self) {
        self.order(Order::ComeBack);
    }

    /// Waits until `enough` is true of the requests received, and returns them. Panics after `deadline`, listing them.
    #[track_caller]
    pub fn wait_until<'a>(
        &'a self,
        enough: impl Fn(&[Arc<Request>]) -> bool + 'a,
        deadline: Duration,
    ) -> impl Future<Output = Vec<Arc<Request>>> + 'a {
        let caller = Location::caller();
        async move {
            let find = || {
                let arrivals = self.records.arrivals();
                enough(&arrivals.requests).then(|| arrivals.requests.clone())
            };
            match self.records.when(find, deadline).await {
                Some(requests) => requests,
                None => panic!("{caller}: not received in {deadline:?}; there are {}", listed(&self.received())),
            }
        }
    }

    /// Waits until this many requests arrived since the start. Panics after `deadline`, listing them.
    #[track_caller]
    pub fn wait_for_count(&self, count: usize, deadline: Duration) -> impl Future<Output = ()> + '_ {
        let caller = Location::caller();
        async move {
            let find = || (self.count() >= count).then_some(());
            if self.records.when(find, deadline).await.is_none() {
                let (arrived, kept) = (self.count(), self.received());
                panic!("{caller}: {arrived} of {count} requests arrived in {deadline:?}; kept are {}", listed(&kept));
            }
        }
    }

    fn order(&self, order: fn(mpsc::Sender<()>) -> Order) {
        let (done, wait) = mpsc::channel();
        self.orders.as_ref().expect("open until drop").send(order(done)).expect("the receiver's thread runs");
        wait.recv().expect("the receiver's thread runs");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The serving thread ends when it can get no more orders.
        self.orders = None;
        let ended = self.thread.take().expect("taken here only").join();
        assert!(ended.is_ok() || thread::panicking(), "the receiver's thread panicked");
    }
}

impl Records {
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What `find` returns, called again after each arrival; `None` after `deadline`.
    async fn when<T>(&self, find: impl Fn() -> Option<T>, deadline: Duration) -> Option<T> {
        let give_up_at = tokio::time::Instant::now() + deadline;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // From here on, so that an arrival during the call is not missed.
            arrived.as_mut().enable();
            if let Some(found) = find() {
                return Some(found);
            }
            if tokio::time::timeout_at(give_up_at, arrived).await.is_err() {
                return find();
            }
        }
    }

    /// Numbers the request, asks the script and writes down both.
    fn take(&self, head: hyper::http::request::Parts, body: Bytes) -> (Arc<Request>, Answer) {
        let (method, headers) = (head.method.to_string(), head.headers);
        // Over HTTP/2 the URI is whole.
        let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let keeps = self.keeps.load(Ordering::Relaxed);
        let key = headers.get("idempotency-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        let mut attempt = 1;
        if keeps {
            let same = key.clone().unwrap_or_else(|| format!("{method} {path}"));
            let mut arrivals = self.arrivals();
            let attempts = arrivals.attempts.entry(same).or_default();
            *attempts += 1;
            attempt = *attempts;
        }
        let number = self.count.load(Ordering::Relaxed) + 1;
        let request = Arc::new(Request::new(number, attempt, key, method, path, head.version, headers, body));
        let script = self.script.lock().expect("no script was set by a panicking thread").clone();
        let answer = script(&request);
        request.mark_answer(&answer);
        if keeps {
            let mut arrivals = self.arrivals();
            if let Some(key) = request.key.as_ref().filter(|_| request.took_effect()) {
                *arrivals.effects.entry(key.clone()).or_default() += 1;
            }
            arrivals.requests.push(request.clone());
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.arrived.notify_waiters();
        (request, answer)
    }
}

/// The requests, one a line, for a message: the last ones when there are many.
fn listed(requests: &[Arc<Request>]) -> String {
    const SHOWN_MAX: usize = 40;
    let mut text = format!("{} requests", requests.len());
    let skipped = requests.len().saturating_sub(SHOWN_MAX);
    if skipped > 0 {
        text += &format!(", the last {SHOWN_MAX} of them");
    }
    for request in &requests[skipped..] {
        text += &format!("\n  {request:?}");
    }
    text
}
