//! A scripted API on the loopback interface, and rules, changes and deliveries to call it with. For tests only.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::{Delivery, Origin, SagaAction};
use crate::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
use crate::pattern::{TablePattern, TablePatterns};
use crate::retry::{Retries, RetryPolicy};
use crate::rules::{
    Action, Body, BreakerPolicy, Call, CallSettings, Content, FilePlace, OrderBy, ProxyChoice, RetryByAnswer, RetryOn,
    Rule, RuleSettings, Saga, SagaStep, Target, Work,
};
use crate::saga::ActionId;
use crate::template::UrlTemplate;

/// Long enough for any machine; reached only when a test fails.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What the API does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status(u16),
    /// A whole answer, as it goes over the wire.
    Raw(Vec<u8>),
    /// The same, and then closes the connection without having said so.
    RawThenClose(Vec<u8>),
    /// 200, but only when the semaphore gives a permit.
    When(Arc<Semaphore>),
    /// This status, but only when the semaphore gives a permit.
    StatusWhen(u16, Arc<Semaphore>),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request, then closes: it was processed, and the client can't know that.
    LoseAnswer,
    /// The same, but only when the semaphore gives a permit.
    LoseAnswerWhen(Arc<Semaphore>),
    /// A head, and then one byte of the body every few milliseconds, for ever.
    Drip,
}

/// A request as the API saw it.
#[derive(Debug, Clone)]
pub(super) struct SeenRequest {
    /// The delivery's number, from its `Idempotency-Key`.
    pub number: u128,
    /// The n-th request of this delivery, from 1.
    pub attempt: usize,
    /// The n-th connection, from 1.
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

/// A running API; it ends with the test's runtime.
pub(super) struct Api {
    pub address: SocketAddr,
    seen: watch::Receiver<Vec<SeenRequest>>,
    connections: Arc<AtomicUsize>,
}

impl Api {
    pub async fn start(script: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (publish, seen) = watch::channel(Vec::new());
        let connections = Arc::new(AtomicUsize::new(0));
        let (script, publish, count) = (Arc::new(script), Arc::new(publish), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (script, publish) = (script.clone(), publish.clone());
                tokio::spawn(async move { serve(stream, connection, &*script, &publish).await });
            }
        });
        Api { address, seen, connections }
    }

    /// The numbers of the deliveries, in the order in which their requests came.
    pub fn order(&self) -> Vec<u128> {
        self.seen.borrow().iter().map(|seen| seen.number).collect()
    }

    pub fn seen(&self) -> Vec<SeenRequest> {
        self.seen.borrow().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many requests have come.
    pub async fn wait_for(&self, requests: usize) -> Vec<SeenRequest> {
        let mut seen = self.seen.clone();
        let reached = seen.wait_for(|seen| seen.len() >= requests);
        tokio::time::timeout(DEADLINE, reached).await.expect("the requests come").unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Resolves names as a test says. The addresses that may be called are recorded, and the API is called instead.
pub(super) struct Dns {
    answer: Box<Answers>,
    api: Mutex<SocketAddr>,
    pub asked: Mutex<Vec<String>>,
    pub dialled: Mutex<Vec<IpAddr>>,
}

type Answers = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

impl Dns {
    pub fn new(api: SocketAddr, answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Arc<Dns> {
        Arc::new(Dns {
            answer: Box::new(answer),
            api: Mutex::new(api),
            asked: Mutex::default(),
            dialled: Mutex::default(),
        })
    }

    pub fn look_up(&self, name: &str) -> Vec<SocketAddr> {
        self.asked.lock().unwrap().push(name.to_owned());
        (self.answer)(name).into_iter().map(|address| SocketAddr::new(address, 0)).collect()
    }

    /// The API's port is called only for URLs without a port of their own.
    pub fn dialled(&self, allowed: &[SocketAddr]) -> Vec<SocketAddr> {
        self.dialled.lock().unwrap().extend(allowed.iter().map(SocketAddr::ip));
        vec![*self.api.lock().unwrap()]
    }

    /// From now on another API is dialled.
    pub fn move_to(&self, api: SocketAddr) {
        *self.api.lock().unwrap() = api;
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}

/// The whole of an answer with a body.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    Reply::Raw(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes())
}

async fn serve(
    stream: TcpStream,
    connection: usize,
    script: &(impl Fn(&SeenRequest) -> Reply + Send + Sync),
    publish: &watch::Sender<Vec<SeenRequest>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut seen = read_request(&mut stream, connection).await?;
        let mut reply = Reply::Hang;
        publish.send_modify(|all| {
            seen.attempt = all.iter().filter(|earlier| earlier.number == seen.number).count() + 1;
            reply = script(&seen);
            all.push(seen.clone());
        });
        let bytes = match reply {
            Reply::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes(),
            Reply::Raw(bytes) => bytes,
            Reply::RawThenClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return None;
            }
            Reply::When(semaphore) => {
                semaphore.acquire().await.ok()?.forget();
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            Reply::StatusWhen(status, semaphore) => {
                semaphore.acquire().await.ok()?.forget();
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes()
            }
            Reply::Hang => std::future::pending().await,
            Reply::LoseAnswer => return None,
            Reply::LoseAnswerWhen(semaphore) => {
                semaphore.acquire().await.ok()?.forget();
                return None;
            }
            Reply::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n").await.ok()?;
                loop {
                    stream.write_all(b"x").await.ok()?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        stream.write_all(&bytes).await.ok()?;
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<SeenRequest> {
    const TLS_HANDSHAKE: u8 = 0x16;
    if stream.fill_buf().await.ok()?.first() == Some(&TLS_HANDSHAKE) {
        return None;
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let headers: HashMap<String, &str> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    let number = headers.get("idempotency-key").map_or(0, |id| id.parse::<Uuid>().unwrap().as_u128());
    Some(SeenRequest { number, attempt: 0, connection, head, body })
}

/// A rule that calls this URL, retries three times after a millisecond or so, probes as quickly, and is otherwise as the
/// test edits it.
pub(crate) fn rule(url: &str, edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    let waits = Duration::from_millis(1);
    let breaker = BreakerPolicy { failures: 5, probe: waits, max_probe: waits * 10 };
    let url = UrlTemplate::compile(url, &|_| Ok(None)).unwrap();
    let origin = url.origin().expect("a fixed host");
    let mut rule = Rule {
        name: "orders".to_owned(),
        path: PathBuf::from("orders.yaml"),
        tables: TablePatterns(vec![TablePattern::parse("shop.orders").unwrap()]),
        tables_at: vec![FilePlace { line: 1, column: 8 }],
        at: FilePlace { line: 3, column: 5 },
        on: vec![Op::Insert, Op::Update, Op::Delete],
        changed: vec![],
        when: None,
        order_by: OrderBy::PrimaryKey,
        order_by_at: vec![],
        actions: vec![Action {
            work: Work::Call(Arc::new(Call {
                url,
                url_at: FilePlace { line: 5, column: 12 },
                headers: vec![],
                body: Body::Change,
                auth: None,
                sign: None,
                tls: None,
                success_when: None,
                item_line: None,
                array_wrap: None,
                hides_body: false,
                settings: CallSettings { timeout: DEADLINE, ..CallSettings::default() },
            })),
            target: Arc::new(Target { breaker: Some(breaker), ..Target::of(&origin) }),
            token_proxy: ProxyChoice::AsSet,
            retry: RetryPolicy {
                retries: Retries::AtMost(3),
                initial: waits,
                multiplier: 2.0,
                max_delay: waits * 10,
                jitter: 0.5,
            },
            retry_on: RetryOn::default(),
            retry_by_answer: RetryByAnswer::default(),
            is_repeatable: true,
            keeps_answer: false,
        }],
        saga: None,
        content: Content::default(),
        settings: RuleSettings::default(),
        batch: None,
        coalesce: None,
        redact: vec![],
        by_op: vec![],
        columns: vec![],
        nulls: vec![],
        old_rows: vec![],
    };
    edit(&mut rule);
    Arc::new(rule)
}

/// A rule that calls these URLs one after another, each as [`rule`] would, and is otherwise as the test edits it.
pub(super) fn rule_of_steps(urls: &[&str], edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    let action = |url: &&str| Arc::into_inner(rule(url, |_| {})).expect("the only reference").actions.remove(0);
    let actions: Vec<Action> = urls.iter().map(action).collect();
    let mut made = Arc::into_inner(rule(urls[0], |_| {})).expect("the only reference");
    made.actions = actions;
    edit(&mut made);
    let step = |n: usize| SagaStep { name: format!("step{n}").into(), action: n, undo: None, verify: None };
    let steps = (0..made.actions.len()).map(step).collect();
    made.saga.get_or_insert_with(|| Saga::new(steps, &made.actions, false));
    Arc::new(made)
}

/// A saga on the row with this key, whose next action is this.
pub(super) fn saga(rule: &Arc<Rule>, number: u128, key: i64, action: ActionId) -> Delivery {
    let log = rule.saga.as_ref().expect("a rule with a saga").definition.begin();
    Delivery { saga_action: Some(SagaAction { action, log: Arc::new(log) }), ..delivery(rule, number, key) }
}

/// An insert of the row with this key.
pub(crate) fn delivery(rule: &Arc<Rule>, number: u128, key: i64) -> Delivery {
    made_of(rule, number, change(Op::Insert, None, Some(key)))
}

/// An update that changes the row's key.
pub(super) fn moving_delivery(rule: &Arc<Rule>, number: u128, from: i64, to: i64) -> Delivery {
    made_of(rule, number, change(Op::Update, Some(from), Some(to)))
}

/// A change of a row of two columns, `id` and `v`, of a transaction that begins at this offset.
pub(super) fn versions(op: Op, before: Option<[i64; 2]>, after: Option<[i64; 2]>, offset: u64) -> Change {
    let row = |cells: [i64; 2]| Row::from_iter(cells.map(|number| Cell::Value(Value::Int(number))));
    let mut change = change(op, None, None);
    Arc::make_mut(&mut change.table).columns.push("v".into());
    Arc::make_mut(&mut change.transaction).offset = offset;
    Change { before: before.map(row), after: after.map(row), ..change }
}

pub(super) fn made_of(rule: &Arc<Rule>, number: u128, change: Change) -> Delivery {
    Delivery {
        id: DeliveryId(Uuid::from_u128(number)),
        rule: rule.clone(),
        change: Arc::new(change),
        origin: Origin::Stream,
        predetermined: None,
        saga_action: None,
        more: None,
        edited: None,
    }
}

fn change(op: Op, before: Option<i64>, after: Option<i64>) -> Change {
    let row = |key: i64| Row::from_iter([Cell::Value(Value::Int(key))]);
    let table =
        Table { schema: "shop".into(), name: "orders".into(), columns: vec!["id".into()], primary_key: vec![0] };
    let transaction = Transaction::example();
    Change {
        op,
        table: Arc::new(table),
        before: before.map(row),
        after: after.map(row),
        transaction: Arc::new(transaction),
        ordinal: 1,
    }
}
