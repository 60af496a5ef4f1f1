//! Hostile answers: what comes of bytes that are no answer, lie about themselves, or never end.
//!
//! Each case is a server that does one thing to a request for `/hostile` and answers all others properly. Checked are the
//! end of the attempt, that its text is clean, that the memory it took has a limit, and that what follows on the same
//! client is answered by its own answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::client::{self, Client, Keep, Received};
use super::{delivery, prepare};
use crate::delivery::answer::{self, Verdict};
use crate::delivery::testing::DEADLINE;
use crate::failure::Answer;

/// What an attempt at a server that never comes to its end may take: only the time is over then.
const SHORT: Duration = Duration::from_millis(400);

/// Far above what an attempt needs (two times hyper's 400 KiB for a head), far below what a flood brings.
const MEMORY_BYTES_MAX: u64 = 4 << 20;

enum Act {
    /// Says this when the request has come, and reads on.
    Say(Vec<u8>),
    SayThenClose(Vec<u8>),
    SayThenReset(Vec<u8>),
    /// Says this as soon as the connection is made, and closes it without reading.
    Greet(Vec<u8>),
    /// The same, and leaves it open.
    GreetAndWait(Vec<u8>),
    ResetAtOnce,
    /// Says the first, and then the second again and again.
    Flood(Vec<u8>, Vec<u8>),
    /// Says one byte after the other with pauses between them.
    Drip(Vec<u8>),
}

/// Name, what the server does, what becomes of the delivery.
type Case = (&'static str, Act, &'static str);

const OK: &str = "HTTP/1.1 200 OK\r\n";
const NOT_HTTP: &str =
    "retry: the answer is not valid HTTP; if this is the port of https, `url` must begin with https://";
/// Whether the head still came in time is up to the machine.
const TIMED_OUT: &str = "retry: the time is over";
const TOO_LARGE: &str = "retry: the head of the answer, or its stated length, is too large";
const CLOSED_BEFORE: &str = "retry: connection closed before the answer";
const CLOSED_WITHIN: &str = "retry: connection closed in the middle of the answer";

fn say(text: impl AsRef<[u8]>) -> Act {
    Act::Say(text.as_ref().to_vec())
}

fn close(text: impl AsRef<[u8]>) -> Act {
    Act::SayThenClose(text.as_ref().to_vec())
}

fn cases() -> Vec<Case> {
    let many_headers = format!("{OK}{}\r\n", "X-A: b\r\n".repeat(10_000));
    let large_header = format!("{OK}X-A: {}\r\nContent-Length: 0\r\n\r\n", "b".repeat(1 << 20));
    let long_reason = format!("HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(1 << 20));
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let flood = |head: &str, again: &[u8]| Act::Flood(head.as_bytes().to_vec(), again.to_vec());
    vec![
        // The first line.
        ("nothing but the end", close(""), CLOSED_BEFORE),
        ("an empty line", close("\r\n"), CLOSED_BEFORE),
        ("garbage", close("\x00\x01\x02\x03\r\n\r\n"), NOT_HTTP),
        ("another protocol", close("220 mail.example.com ESMTP\r\n\r\n"), NOT_HTTP),
        ("HTTP/0.9", close("<html>hello</html>\n"), NOT_HTTP),
        ("HTTP/1.0 ends with the connection", close("HTTP/1.0 200 OK\r\n\r\nhello"), "done 200"),
        ("HTTP/2.0 in words", close("HTTP/2.0 200 OK\r\n\r\n"), NOT_HTTP),
        ("HTTP/2 frames", close(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\r\n\r\n"), NOT_HTTP),
        ("a version that does not exist", close("HTTP/9.9 200 OK\r\n\r\n"), NOT_HTTP),
        ("lower case", close("http/1.1 200 ok\r\n\r\n"), NOT_HTTP),
        ("no status", close("HTTP/1.1\r\n\r\n"), NOT_HTTP),
        ("a status of two digits", close("HTTP/1.1 20 OK\r\n\r\n"), NOT_HTTP),
        ("a status of four digits", close("HTTP/1.1 2000 OK\r\n\r\n"), NOT_HTTP),
        ("a negative status", close("HTTP/1.1 -200 OK\r\n\r\n"), NOT_HTTP),
        ("status 000", close("HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"), NOT_HTTP),
        ("status 999", say("HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"), "dead 999: "),
        ("status 600", say("HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n"), "dead 600: "),
        ("no reason", say("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "done 200"),
        ("an escape in the reason", say("HTTP/1.1 400 \x1b[2J\r\nContent-Length: 0\r\n\r\n"), NOT_HTTP),
        ("bytes above 127 in the reason", say(b"HTTP/1.1 400 \xff\xfe\r\nContent-Length: 0\r\n\r\n"), "dead 400: "),
        ("a reason of 1 MiB", say(&long_reason), TOO_LARGE),
        ("an endless first line", flood("HTTP/1.1 200 ", &[b'x'; 4096]), TOO_LARGE),
        ("a first line that stops", say("HTTP/1.1 200 O"), TIMED_OUT),
        // Interim answers.
        ("100 and then 200", say(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}Content-Length: 0\r\n\r\n")), "done 200"),
        (
            "103 with headers and then 200",
            say(format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}Content-Length: 0\r\n\r\n")),
            "done 200",
        ),
        (
            "a thousand times 100",
            say(format!("{}{OK}Content-Length: 0\r\n\r\n", "HTTP/1.1 100 C\r\n\r\n".repeat(1000))),
            "done 200",
        ),
        ("100 without end", flood("", &b"HTTP/1.1 100 C\r\n\r\n".repeat(100)), TIMED_OUT),
        ("102 without end", flood("", &b"HTTP/1.1 102 P\r\nX-A: b\r\n\r\n".repeat(100)), TIMED_OUT),
        (
            "101 that was not requested",
            say("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"),
            "dead 101: ",
        ),
        ("101 without a word", say("HTTP/1.1 101 Switching\r\n\r\n"), "dead 101: "),
        // Headers.
        ("10,000 headers", say(&many_headers), TOO_LARGE),
        ("a header of 1 MiB", say(&large_header), TOO_LARGE),
        ("headers without end", flood(OK, &b"X-A: b\r\n".repeat(64)), TOO_LARGE),
        ("one header without end", flood("HTTP/1.1 200 OK\r\nX-A: ", &[b'x'; 4096]), TOO_LARGE),
        ("a header without a colon", close(format!("{OK}X-A\r\n\r\n")), NOT_HTTP),
        ("a space before the colon", close(format!("{OK}X-A : b\r\nContent-Length: 0\r\n\r\n")), NOT_HTTP),
        ("a header without a name", close(format!("{OK}: b\r\n\r\n")), NOT_HTTP),
        ("a folded header", close(format!("{OK}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n")), NOT_HTTP),
        ("NUL in a header", close(format!("{OK}X-A: b\0c\r\nContent-Length: 0\r\n\r\n")), NOT_HTTP),
        ("an escape in a header", close(format!("{OK}X-A: \x1b]0;x\x07\r\nContent-Length: 0\r\n\r\n")), NOT_HTTP),
        ("only line feeds", say("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "done 200"),
        ("a lone carriage return", close(format!("{OK}X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n")), NOT_HTTP),
        ("headers that stop", say(format!("{OK}X-A: b\r\n")), TIMED_OUT),
        ("headers that drip", Act::Drip(format!("{OK}{}", "X-A: b\r\n".repeat(50)).into()), TIMED_OUT),
        ("headers that end with the connection", close(format!("{OK}X-A: b\r\n")), CLOSED_BEFORE),
        (
            "Retry-After of nonsense",
            say("HTTP/1.1 503 X\r\nRetry-After: \u{fc}99999999999999999999999\r\nContent-Length: 0\r\n\r\n"),
            "retry 503: ",
        ),
        // Lengths.
        ("a negative length", close(format!("{OK}Content-Length: -1\r\n\r\n")), NOT_HTTP),
        ("a length with a sign", close(format!("{OK}Content-Length: +5\r\n\r\nhello")), NOT_HTTP),
        ("a length in hexadecimal", close(format!("{OK}Content-Length: 0x5\r\n\r\nhello")), NOT_HTTP),
        ("a length of 2^64", close(format!("{OK}Content-Length: 18446744073709551616\r\n\r\nhello")), NOT_HTTP),
        ("a length of 2^64 - 1", close(format!("{OK}Content-Length: 18446744073709551615\r\n\r\nhello")), TOO_LARGE),
        ("a length of 2^63", close(format!("{OK}Content-Length: 9223372036854775808\r\n\r\nhello")), CLOSED_WITHIN),
        (
            "two lengths that differ",
            close(format!("{OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
            NOT_HTTP,
        ),
        ("two lengths in one", close(format!("{OK}Content-Length: 5, 6\r\n\r\nhello!")), NOT_HTTP),
        ("an empty length", close(format!("{OK}Content-Length: \r\n\r\nhello")), NOT_HTTP),
        ("a length that is too long", close(format!("{OK}Content-Length: 10\r\n\r\nhello")), CLOSED_WITHIN),
        ("a length that is too long, and open", say(format!("{OK}Content-Length: 10\r\n\r\nhello")), TIMED_OUT),
        ("a length that is too short", say(format!("{OK}Content-Length: 2\r\n\r\nhello")), "done 200"),
        (
            "a body that drips",
            Act::Drip(format!("{OK}Content-Length: 1000\r\n\r\n{}", "x".repeat(1000)).into()),
            TIMED_OUT,
        ),
        ("204 with a body", say("HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello"), "done 204"),
        ("304 with a body", say("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello"), "dead 304: "),
        // Chunks.
        (
            "length and chunks",
            say(format!("{OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
            "done 200",
        ),
        ("chunks in HTTP/1.0", close("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), NOT_HTTP),
        ("a transfer coding that is not known", close(format!("{OK}Transfer-Encoding: gzip\r\n\r\nhello")), "done 200"),
        ("chunked twice", close(format!("{OK}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")), "done 200"),
        (
            "a chunk size that is no number",
            close(format!("{OK}Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n")),
            "retry: the answer is broken: Invalid chunk size line: missing size digit",
        ),
        (
            "a negative chunk size",
            close(format!("{OK}Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n")),
            "retry: the answer is broken: Invalid chunk size line: missing size digit",
        ),
        (
            "a chunk size of 2^64",
            close(format!("{OK}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n")),
            "retry: the answer is broken: invalid chunk size: overflow",
        ),
        ("a chunk that is too short", close(format!("{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhel")), CLOSED_WITHIN),
        (
            "a chunk that is too long",
            close(format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n")),
            "retry: the answer is broken: Invalid chunk body CR",
        ),
        (
            "chunks without end",
            flood("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk),
            "retry 500: xxxx",
        ),
        (
            "empty extensions without end",
            flood("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n1;", &[b'x'; 4096]),
            "retry: the answer is broken: chunk extensions over limit",
        ),
        (
            "trailers without end",
            flood("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", &b"X-A: b\r\n".repeat(64)),
            "retry: the answer is broken: chunk trailers count overflow",
        ),
        ("a body without end", flood("HTTP/1.1 500 X\r\n\r\n", &[b'x'; 4096]), "retry 500: xxxx"),
        ("a success without end", flood("HTTP/1.1 200 X\r\n\r\n", &[b'x'; 4096]), "done 200"),
        // Bodies.
        (
            "an escape in the body",
            say("HTTP/1.1 400 X\r\nContent-Length: 9\r\n\r\na\x1b[2J\x07\r\nb"),
            "dead 400: a [2J   b",
        ),
        (
            "bytes that are no UTF-8",
            say(b"HTTP/1.1 400 X\r\nContent-Length: 4\r\n\r\n\xfd\xfea\xc3"),
            "dead 400: \u{fffd}\u{fffd}a\u{fffd}",
        ),
        ("writing from right to left", say("HTTP/1.1 400 X\r\nContent-Length: 5\r\n\r\n\u{202e}ab"), "dead 400: ab"),
        (
            "a packed answer of which the end is missing",
            say([
                b"HTTP/1.1 400 X\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n".as_slice(),
                b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
            ]
            .concat()),
            "dead 400: (the answer can't be shown: it is said to be packed with `gzip`, and is damaged)",
        ),
        // The connection.
        ("a reset instead of an answer", Act::SayThenReset(vec![]), CLOSED_BEFORE),
        ("a reset within the head", Act::SayThenReset(b"HTTP/1.1 200 O".to_vec()), CLOSED_BEFORE),
        (
            "a reset within the body",
            Act::SayThenReset(format!("{OK}Content-Length: 9\r\n\r\nhel").into()),
            CLOSED_WITHIN,
        ),
        ("a reset at once", Act::ResetAtOnce, CLOSED_BEFORE),
        (
            "an answer before the request is read",
            Act::Greet(b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec()),
            "either",
        ),
        ("an answer to nothing", Act::GreetAndWait(format!("{OK}Content-Length: 0\r\n\r\n").into()), "either"),
        ("a greeting and the end", Act::Greet(b"SSH-2.0-OpenSSH_9.7\r\n".to_vec()), "either"),
        ("silence", say(""), TIMED_OUT),
    ]
}

/// Answers `/hostile` as the act says, and every other request with 418 and its own path.
async fn serve(listener: TcpListener, act: Arc<Act>) {
    while let Ok((stream, _)) = listener.accept().await {
        let act = act.clone();
        tokio::spawn(async move { connection(stream, &act).await });
    }
}

async fn connection(mut stream: TcpStream, act: &Act) -> std::io::Result<()> {
    match act {
        Act::Greet(bytes) => return stream.write_all(bytes).await,
        Act::GreetAndWait(bytes) => {
            stream.write_all(bytes).await?;
            std::future::pending::<()>().await;
        }
        Act::ResetAtOnce => {
            stream.set_zero_linger()?;
            return Ok(());
        }
        _ => {}
    }
    let mut read = Vec::new();
    loop {
        let path = read_request(&mut stream, &mut read).await?;
        if path != "/hostile" {
            let answer = format!("HTTP/1.1 418 X\r\nContent-Length: {}\r\n\r\n{path}", path.len());
            stream.write_all(answer.as_bytes()).await?;
            continue;
        }
        match act {
            Act::Say(bytes) => stream.write_all(bytes).await?,
            Act::SayThenClose(bytes) => return stream.write_all(bytes).await,
            Act::SayThenReset(bytes) => {
                stream.write_all(bytes).await?;
                // Read before the reset, which else might overtake it.
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.set_zero_linger()?;
                return Ok(());
            }
            Act::Flood(first, again) => {
                stream.write_all(first).await?;
                loop {
                    stream.write_all(again).await?;
                }
            }
            Act::Drip(bytes) => {
                for byte in bytes {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Act::Greet(_) | Act::GreetAndWait(_) | Act::ResetAtOnce => unreachable!("done when the connection is made"),
        }
    }
}

/// Reads one request and returns its path.
async fn read_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<String> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let length =
                text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if read.len() >= whole {
                read.drain(..whole);
                return Ok(text.split(' ').nth(1).unwrap_or_default().to_owned());
            }
        }
        if stream.read_buf(read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn call(client: &Client, url: &str, timeout: Duration) -> (Verdict, Received) {
    let delivery = delivery(&format!("{{url: '{url}'}}"), "s3cret-row-value").unwrap();
    let (call, prepared) = (delivery.call(), prepare(&delivery).unwrap());
    let request = client::request(&prepared, call.settings.egress).unwrap();
    let received = client.send(request, call.settings.egress, timeout, &call.settings.success, Keep::NOTHING).await;
    (
        answer::classify(&call.settings.success, &delivery.rule.actions[0].retry_on, &received.answer, received.lack),
        received,
    )
}

fn shown(verdict: Verdict, answer: &Answer) -> String {
    let what = match verdict {
        Verdict::Done { status } => return format!("done {status}"),
        Verdict::Retry => "retry",
        Verdict::GiveUp => "dead",
    };
    match answer {
        Answer::Status { status, excerpt } => format!("{what} {status}: {excerpt}"),
        other => format!("{what}: {}", other.in_words()),
    }
}

fn assert_clean(answer: &Answer, name: &str) {
    let text = match answer {
        Answer::Status { excerpt, .. } => excerpt.clone(),
        other => other.in_words(),
    };
    assert!(text.len() <= 3 * answer::EXCERPT_BYTES_MAX, "{name}: {} bytes", text.len());
    assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{name}: {text:?}");
    assert!(!text.contains("s3cret") && !text.contains("127.0.0.1"), "{name}: {text}");
}

/// What is surprising about a case.
async fn run(client: &Client, (name, act, expected): Case) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers_others = !matches!(act, Act::Greet(_) | Act::GreetAndWait(_) | Act::ResetAtOnce);
    let server = tokio::spawn(serve(listener, Arc::new(act)));
    // A proper exchange first, so that the connection is one that was used.
    if answers_others {
        let (_, before) = call(client, &format!("{url}/before"), DEADLINE).await;
        assert_eq!(before.answer, Answer::Status { status: 418, excerpt: "/before".to_owned() }, "{name}");
    }
    let timeout = if [TIMED_OUT, "either"].contains(&expected) { SHORT } else { DEADLINE };
    let (verdict, received) = call(client, &format!("{url}/hostile"), timeout).await;
    assert_clean(&received.answer, name);
    let found = shown(verdict, &received.answer);
    let found = if found.ends_with(" within 400ms") { TIMED_OUT.to_owned() } else { found };
    let as_expected = match expected {
        // Which comes first, the request's end or the answer's, is up to the network.
        "either" => verdict != Verdict::Done { status: 204 },
        _ if expected.ends_with("xxxx") => found.starts_with(expected),
        _ if expected.ends_with('\u{fffd}') => found.starts_with(expected),
        _ => found == expected,
    };
    for turn in (0..3).filter(|_| answers_others) {
        let path = format!("/after-{turn}");
        let (_, after) = call(client, &format!("{url}{path}"), DEADLINE).await;
        assert_eq!(after.answer, Answer::Status { status: 418, excerpt: path }, "{name}");
    }
    server.abort();
    if as_expected { String::new() } else { format!("{name}: expected {expected:?}, found {found:?}\n") }
}

#[test]
fn every_hostile_answer_has_its_end_takes_little_memory_and_harms_no_other_delivery() {
    let client = Client::new().unwrap();
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut surprises = String::new();
    for case in cases {
        let name = case.0;
        // All on this thread, whose allocations are counted: client, connections and server.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let taken = allocation_counter::measure(|| surprises += &runtime.block_on(run(&client, case)));
        assert!(taken.bytes_max < MEMORY_BYTES_MAX, "{name}: {} bytes", taken.bytes_max);
    }
    assert!(surprises.is_empty(), "\n{surprises}");
}

/// A server that sends a second answer right after the first, for a request that has not come yet.
#[tokio::test]
async fn bytes_after_an_answer_are_not_the_answer_to_the_next_request() {
    let proper = "HTTP/1.1 400 X\r\nContent-Length: 4\r\n\r\ntrue";
    let forged = format!("{OK}Content-Length: 6\r\n\r\nforged");
    for first in [
        format!("{proper}{forged}"),
        format!("{proper}{forged}{forged}{forged}"),
        format!("{proper}\r\n{forged}"),
        format!("{proper}x"),
        format!("HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntrue\r\n0\r\n\r\n{forged}"),
        format!("HTTP/1.1 204 X\r\n\r\n{forged}"),
        format!("HTTP/1.1 304 X\r\nContent-Length: 99\r\n\r\n{forged}"),
        format!("HTTP/1.1 100 Continue\r\n\r\n{proper}{forged}"),
    ] {
        let client = Client::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, Arc::new(say(&first))));
        for turn in 0..25 {
            call(&client, &format!("{url}/hostile"), DEADLINE).await;
            let path = format!("/after-{turn}");
            let (_, after) = call(&client, &format!("{url}{path}"), DEADLINE).await;
            assert_eq!(after.answer, Answer::Status { status: 418, excerpt: path }, "{first:?}");
        }
    }
}

#[tokio::test]
async fn a_broken_tls_handshake_is_an_error_that_is_tried_again() {
    let client = Client::new().unwrap();
    let flood = [b"\x16\x03\x03\x40\x00".as_slice(), &[0; 0x4000]].concat();
    for (act, expected) in [
        (Act::Greet(vec![]), "closed before the answer"),
        (Act::ResetAtOnce, "closed before the answer"),
        (Act::GreetAndWait(vec![]), "no answer within 400ms"),
        (Act::GreetAndWait(b"\x16\x03\x03\x00\x10\x02\x00".to_vec()), "no answer within 400ms"),
        (
            Act::GreetAndWait(b"HTTP/1.1 400 plain text\r\n\r\n".to_vec()),
            "TLS: the server does not speak TLS at this port",
        ),
        (
            Act::GreetAndWait(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()),
            "TLS: the server ends the handshake (HandshakeFailure)",
        ),
        (Act::GreetAndWait(b"\x16\x03\x03\xff\xff\x02\x00\x00".to_vec()), "TLS: received corrupt message"),
        (Act::GreetAndWait(b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00".to_vec()), "TLS: received unexpected"),
        (Act::GreetAndWait(b"\x17\x03\x03\x00\x04abcd".to_vec()), "TLS: received unexpected message"),
        (Act::GreetAndWait(flood), "TLS: "),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/hostile", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, Arc::new(act)));
        let timeout = if expected.contains("within") { SHORT } else { DEADLINE };
        let (verdict, received) = call(&client, &url, timeout).await;
        assert_clean(&received.answer, expected);
        let found = shown(verdict, &received.answer);
        assert!(verdict == Verdict::Retry && found.contains(expected), "expected {expected:?}, found {found:?}");
    }
}
