//! The scripted receiver, called by hand over plain sockets, so that each way to fail is seen as it is on the wire.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::receiver::{Answer, Gate, Receiver};

const DEADLINE: Duration = Duration::from_secs(20);

/// Sends one POST and returns what comes until the connection closes.
fn post(receiver: &Receiver, path: &str, key: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", receiver.port()))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    send(&mut stream, path, key, body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map(|_| answer)
}

fn send(stream: &mut TcpStream, path: &str, key: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: api\r\nidempotency-key: {key}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_script_sees_the_request_and_its_attempt_and_says_the_answer() {
    let receiver = Receiver::start(|request| match request.attempt {
        1 => Answer::status(503).with_header("retry-after", "1"),
        _ => Answer::status(201).with_json(&serde_json::json!({"echo": request.json()["id"]})),
    });
    let first = post(&receiver, "/orders/7?x=1", "key-a", r#"{"id":7}"#).unwrap();
    assert!(first.starts_with("HTTP/1.1 503 ") && first.contains("retry-after: 1\r\n"), "{first}");
    let second = post(&receiver, "/orders/7?x=1", "key-a", r#"{"id":7}"#).unwrap();
    assert!(second.starts_with("HTTP/1.1 201 ") && second.ends_with(r#"{"echo":7}"#), "{second}");
    post(&receiver, "/orders/8", "key-b", r#"{"id":8}"#).unwrap();

    let seen: Vec<String> = receiver.received().iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(
        seen,
        [
            "#1 POST /orders/7?x=1 key key-a attempt 1",
            "#2 POST /orders/7?x=1 key key-a attempt 2",
            "#3 POST /orders/8 key key-b attempt 1"
        ]
    );
    assert_eq!(receiver.received()[1].header("Host"), Some("api"));
    assert_eq!(receiver.received().iter().map(|r| r.status()).collect::<Vec<_>>(), [Some(503), Some(201), Some(503)]);
    assert_eq!(receiver.effects().into_iter().collect::<Vec<_>>(), [("key-a".to_owned(), 1)]);

    receiver.set_script(|_| Answer::ok());
    receiver.forget();
    assert!(post(&receiver, "/", "key-b", "").unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!((receiver.count(), receiver.received().len(), receiver.received()[0].attempt), (4, 1, 1));
}

#[test]
fn a_lost_answer_is_an_effect_and_a_reset_is_none() {
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/lost" => Answer::lose_the_answer(),
        "/cut" => Answer::cut_short(200).with_body("half"),
        _ => Answer::reset(),
    });
    assert_eq!(post(&receiver, "/lost", "lost", "{}").unwrap(), "");
    let cut = post(&receiver, "/cut", "cut", "{}").unwrap();
    assert!(cut.contains("content-length: 5\r\n") && cut.ends_with("\r\n\r\nhalf"), "{cut}");
    assert_eq!(post(&receiver, "/reset", "reset", "{}").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(receiver.effects().into_keys().collect::<Vec<_>>(), ["cut", "lost"]);
    assert_eq!(receiver.received().iter().map(|r| r.took_effect()).collect::<Vec<_>>(), [true, true, false]);
    assert!(receiver.received().iter().all(|request| request.status().is_none()));
}

#[tokio::test]
async fn a_gate_delays_answers_and_the_request_is_recorded_meanwhile() {
    let gate = Gate::closed();
    let answers_gate = gate.clone();
    let receiver = Receiver::start(move |_| Answer::ok().after(Duration::from_millis(1)).delayed_by(&answers_gate));
    let mut stream = TcpStream::connect(("127.0.0.1", receiver.port())).unwrap();
    send(&mut stream, "/", "key", "").unwrap();
    let requests = receiver.wait_until(|requests| !requests.is_empty(), DEADLINE).await;
    assert_eq!(requests[0].ended_at(), None);
    gate.open();
    stream.read_to_string(&mut String::new()).unwrap();
    assert!(requests[0].ended_at().unwrap() > requests[0].arrived_at);
}

#[tokio::test]
async fn a_hanging_request_ends_when_the_caller_goes() {
    let receiver = Receiver::start(|_| Answer::hang());
    let mut stream = TcpStream::connect(("127.0.0.1", receiver.port())).unwrap();
    send(&mut stream, "/", "key", "").unwrap();
    receiver.wait_for_count(1, DEADLINE).await;
    stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(receiver.effects().is_empty());
}

#[tokio::test]
#[should_panic(expected = "not received in 20ms; there are 1 requests\n  #1 POST /here key key attempt 1")]
async fn waiting_in_vain_lists_what_did_arrive() {
    let receiver = Receiver::start(|_| Answer::ok());
    post(&receiver, "/here", "key", "").unwrap();
    receiver.wait_until(|requests| requests.len() == 2, Duration::from_millis(20)).await;
}

#[test]
fn connections_are_dropped_unread_refused_while_down_and_taken_again() {
    let receiver = Receiver::start(|_| Answer::ok());
    receiver.drop_connections(1);
    // Closed with bytes unread, so the kernel resets it, unless the close came before the bytes.
    assert!(matches!(post(&receiver, "/", "key", "{}"), Ok(answer) if answer.is_empty()) || receiver.count() == 0);
    assert!(post(&receiver, "/", "key", "{}").unwrap().starts_with("HTTP/1.1 200 "));

    receiver.go_down();
    assert_eq!(post(&receiver, "/", "key", "{}").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    receiver.come_back();
    assert!(post(&receiver, "/", "key", "{}").unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(receiver.count(), 2);
}

#[test]
fn counting_only_keeps_no_request() {
    let receiver = Receiver::start(|_| Answer::ok());
    receiver.count_only();
    post(&receiver, "/", "key", "{}").unwrap();
    assert_eq!((receiver.count(), receiver.received().len(), receiver.effects().len()), (1, 0, 0));
}
