//! Tests of the client against a scripted API.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

mod aging;
mod packed;
mod proxied;

use super::*;
use crate::delivery::answer;
use crate::delivery::testing::{Api, DEADLINE, Reply, answer};
use crate::failure::Answer;
use crate::rules::RetryOn;

fn prepared(method: Method, url: &str) -> PreparedRequest {
    PreparedRequest {
        method,
        url: url.parse().unwrap(),
        headers: vec![header("Idempotency-Key", "00000000-0000-0000-0000-000000000001")],
        body: Bytes::from_static(b"{\"id\":7}"),
        compression: None,
        per_attempt: vec![],
        query_key: None,
        hides_url: false,
        hides_body: false,
    }
}

fn header(name: &'static str, value: &str) -> Header {
    Header { name: name.into(), value: value.to_owned().into(), is_secret: false }
}

async fn post(client: &Client, url: &str, timeout: Duration) -> Received {
    let request = request(&prepared(Method::Post, url), Egress::PrivateToo).unwrap();
    client.send(request, Egress::PrivateToo, timeout, &SuccessStatuses(vec![(200, 299)]), Keep::NOTHING).await
}

async fn error_of(url: &str, timeout: Duration) -> String {
    match post(&Client::new().unwrap(), url, timeout).await.answer {
        Answer::Failed { error } => error,
        answered => panic!("expected no answer, not {answered:?}"),
    }
}

fn status(status: u16, excerpt: &str) -> Received {
    Received {
        answer: Answer::Status { status, excerpt: excerpt.to_owned() },
        lack: None,
        retry_after: None,
        body: Text::default(),
        headers: Vec::new(),
        server_limit: None,
        redirect: None,
        secrets: Vec::new(),
    }
}

#[tokio::test]
async fn the_request_goes_out_as_it_was_prepared() {
    let api = Api::start(|_| Reply::Status(204)).await;
    let received = post(&Client::new().unwrap(), &format!("{}orders/a%20b?c=d", api.url()), DEADLINE).await;
    assert_eq!(received, status(204, ""));
    let seen = api.seen();
    assert!(seen[0].head.starts_with("POST /orders/a%20b?c=d HTTP/1.1\r\n"), "{}", seen[0].head);
    let asks = seen[0].head.to_lowercase().matches("accept-encoding: identity\r\n").count();
    assert_eq!(asks, 1, "the answer is not to be packed: {}", seen[0].head);
    assert_eq!((seen[0].number, &seen[0].body[..]), (1, &b"{\"id\":7}"[..]));
}

#[tokio::test]
async fn a_post_without_a_body_says_that_its_length_is_zero() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let client = Client::new().unwrap();
    for method in [Method::Post, Method::Delete, Method::Get] {
        let empty = PreparedRequest { body: Bytes::new(), ..prepared(method, &api.url()) };
        client
            .send(
                request(&empty, Egress::PrivateToo).unwrap(),
                Egress::PrivateToo,
                DEADLINE,
                &SuccessStatuses(vec![(200, 200)]),
                Keep::NOTHING,
            )
            .await;
    }
    let lengths: Vec<usize> =
        api.seen().iter().map(|seen| seen.head.to_lowercase().matches("content-length: 0\r\n").count()).collect();
    assert_eq!(lengths[0], 1);
    assert_eq!(lengths[2], 0);
}

#[tokio::test]
async fn the_text_of_an_answer_is_kept_only_when_it_is_no_success() {
    let api = Api::start(|seen| answer(if seen.attempt == 1 { 200 } else { 422 }, &[], "no such\nproduct")).await;
    let client = Client::new().unwrap();
    assert_eq!(post(&client, &api.url(), DEADLINE).await, status(200, ""));
    assert_eq!(post(&client, &api.url(), DEADLINE).await, status(422, "no such product"));
    assert_eq!(api.connections(), 1, "the answers were read to their ends, so the connection is used again");
}

#[tokio::test]
async fn a_date_to_retry_after_is_read_by_the_servers_own_clock() {
    let headers = [("Date", "Fri, 20 Nov 2020 23:00:00 GMT"), ("Retry-After", "Fri, 20 Nov 2020 23:00:09 GMT")];
    let api = Api::start(move |_| answer(503, &headers, "")).await;
    let received = post(&Client::new().unwrap(), &api.url(), DEADLINE).await;
    assert_eq!(received.retry_after, Some(Duration::from_secs(9)), "years ago by our clock");
}

#[tokio::test]
async fn an_answer_larger_than_the_limit_is_cut_off() {
    let endless = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let api = Api::start(move |_| Reply::Raw([endless.as_slice(), &chunk, &chunk].concat())).await;
    let received = post(&Client::new().unwrap(), &api.url(), DEADLINE).await;
    assert_eq!(received, status(500, &"x".repeat(answer::EXCERPT_BYTES_MAX)));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let api = Api::start(|_| answer(307, &[("Location", "/elsewhere")], "")).await;
    let received = post(&Client::new().unwrap(), &api.url(), DEADLINE).await;
    assert_eq!(received.redirect.as_ref().map(|redirect| &*redirect.hint), Some("to another path of this server"));
    assert_eq!(Received { redirect: None, ..received }, status(307, ""));
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn the_wait_a_server_asks_for_is_read() {
    let api = Api::start(|_| answer(429, &[("Retry-After", "17")], "")).await;
    let received = post(&Client::new().unwrap(), &api.url(), DEADLINE).await;
    assert_eq!(received.retry_after, Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_is_left_when_the_time_is_over() {
    let hanging = Api::start(|_| Reply::Hang).await;
    assert_eq!(error_of(&hanging.url(), Duration::from_millis(50)).await, "no answer within 50ms");
    let dripping = Api::start(|_| Reply::Drip).await;
    assert_eq!(error_of(&dripping.url(), Duration::from_millis(500)).await, "answer not complete within 500ms");
}

/// A URL for TLS at a server that speaks in plain text.
async fn plain_text_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example.com ESMTP\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    url
}

#[tokio::test]
async fn failures_are_told_in_plain_words() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let losing = Api::start(|_| Reply::LoseAnswer).await;
    let babbling = Api::start(|_| Reply::Raw(b"SSH-2.0-OpenSSH_9.7\r\n\r\n".to_vec())).await;
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    let breaking = Api::start(move |_| Reply::RawThenClose(cut.clone())).await;
    for (url, expected) in [
        (
            format!("http://user:secret@{free}/orders/4711?token=s3cret"),
            "connection refused: nothing listens at this address and port",
        ),
        (losing.url(), "connection closed before the answer"),
        (losing.url().replace("http:", "https:"), "connection closed before the answer"),
        (babbling.url(), "the answer is not valid HTTP; if this is the port of https, `url` must begin with https://"),
        (breaking.url(), "connection closed in the middle of the answer"),
        (
            plain_text_server().await,
            "TLS: the server does not speak TLS at this port: `url` must begin with http://, or needs the port of https",
        ),
    ] {
        assert_eq!(error_of(&url, DEADLINE).await, expected, "{url}");
    }
    let unknown = error_of("http://no-such-host.invalid/4711", DEADLINE).await;
    assert!(unknown.starts_with("the host name cannot be resolved: "), "{unknown}");
    assert!(!unknown.contains("4711"), "{unknown}");
}

#[tokio::test]
async fn a_request_is_not_sent_again_when_its_answer_is_lost() {
    let api = Api::start(|seen| if seen.attempt == 1 { Reply::Status(200) } else { Reply::LoseAnswer }).await;
    let client = Client::new().unwrap();
    assert_eq!(post(&client, &api.url(), DEADLINE).await, status(200, ""));
    let lost = post(&client, &api.url(), DEADLINE).await.answer;
    assert_eq!(lost, Answer::Failed { error: "connection closed before the answer".to_owned() });
    let connections: Vec<usize> = api.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 1], "the second request met the kept connection and was sent once");
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_sees_no_request_twice() {
    let done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let api = Api::start(move |_| Reply::RawThenClose(done.clone())).await;
    let client = Client::new().unwrap();
    let mut answered = Vec::new();
    for number in 1..=50u128 {
        let mut prepared = prepared(Method::Post, &api.url());
        prepared.headers[0].value = uuid::Uuid::from_u128(number).to_string().into();
        let request = request(&prepared, Egress::PrivateToo).unwrap();
        let received =
            client.send(request, Egress::PrivateToo, DEADLINE, &SuccessStatuses(vec![(200, 299)]), Keep::NOTHING).await;
        if received == status(200, "") {
            answered.push(number);
        }
    }
    assert_eq!(api.order(), answered, "each request that was answered came once, no other came");
}

#[tokio::test]
async fn plain_http_works_where_no_certificate_authorities_are_installed() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pool = Pool::new(pool::AGE_MAX, || http().build()).unwrap();
    let client = Client::over(pool.clone(), pool, Names::System, pool::AGE_MAX);
    assert_eq!(post(&client, &api.url(), DEADLINE).await, status(200, ""));
}

#[test]
fn what_cannot_be_sent_is_refused_before_any_connection() {
    let refusal = |edit: fn(&mut PreparedRequest)| {
        let mut prepared = prepared(Method::Post, "http://127.0.0.1/");
        edit(&mut prepared);
        request(&prepared, Egress::PrivateToo).unwrap_err()
    };
    assert_eq!(
        refusal(|prepared| prepared.url = "http://169.254.169.254/latest".parse().unwrap()),
        "the host is a link-local or cloud metadata address, which rowhook never calls"
    );
    assert_eq!(
        refusal(|prepared| prepared.headers.push(header("X-Name", "a\r\nX-Evil: b"))),
        "header X-Name: the value has bytes that a header cannot carry"
    );
    assert_eq!(refusal(|prepared| prepared.headers.push(header("X Name", "a"))), "header \"X Name\": not a name");
}

/// A server that knows HTTP/2 only, and a client that knows it: without TLS they could not negotiate it. The script says what
/// becomes of each stream, by its number over all connections; the count is of the streams.
async fn http2_server(
    script: impl Fn(usize) -> Http2 + Send + Sync + 'static,
) -> (String, Client, Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (streams, script) = (Arc::new(AtomicUsize::new(0)), Arc::new(script));
    let count = streams.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (count, script) = (count.clone(), script.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    match script(count.fetch_add(1, Ordering::SeqCst) + 1) {
                        Http2::Answer(response) => drop(respond.send_response(response, true)),
                        Http2::Reset(reason) => respond.send_reset(reason),
                        Http2::Hang => std::mem::forget(respond),
                    }
                }
            });
        }
    });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = http2_client();
    (url, client, streams)
}

/// Trusts no certificate, so that it needs no certificate authorities.
fn http() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder(Resolver { egress: Egress::PrivateToo, names: Names::System }).tls_certs_only([])
}

fn http2_client() -> Client {
    let pool = Pool::new(pool::AGE_MAX, || http().http2_prior_knowledge().build()).unwrap();
    Client::over(pool.clone(), pool, Names::System, pool::AGE_MAX)
}

enum Http2 {
    Answer(http::Response<()>),
    Reset(h2::Reason),
    Hang,
}

#[tokio::test]
async fn over_http2_a_stream_that_is_reset_is_a_failure_and_nothing_is_sent_again() {
    for (ending, expected) in [
        (
            (|| Http2::Reset(h2::Reason::REFUSED_STREAM)) as fn() -> Http2,
            "the server resets the HTTP/2 stream: refused stream before processing any application logic",
        ),
        (
            || Http2::Reset(h2::Reason::INTERNAL_ERROR),
            "the server resets the HTTP/2 stream: unexpected internal error encountered",
        ),
    ] {
        let (url, client, streams) = http2_server(move |_| ending()).await;
        let received = post(&client, &url, DEADLINE).await;
        assert_eq!(received.answer, Answer::Failed { error: expected.to_owned() });
        assert_eq!(streams.load(std::sync::atomic::Ordering::SeqCst), 1, "{expected}");
        assert_eq!(
            answer::classify(&SuccessStatuses(vec![]), &RetryOn::default(), &received.answer, received.lack),
            answer::Verdict::Retry
        );
    }
}

#[tokio::test]
async fn over_http2_a_goodbye_that_leaves_the_request_out_is_a_failure_and_nothing_is_sent_again() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // RFC 9113, section 6.5: empty settings. Section 6.8: the last stream is 0, the error NO_ERROR, then words.
    const FRAMES: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x0e\x07\0\0\0\0\0\0\0\0\0\0\0\0\0s3cret";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut seen = Vec::new();
            // Our headers are the first frame of type 1 on stream 1.
            while !seen.windows(6).any(|bytes| bytes[0] == 1 && bytes[2..6] == [0, 0, 0, 1]) {
                stream.read_buf(&mut seen).await.unwrap();
            }
            stream.write_all(FRAMES).await.unwrap();
            stream.read_to_end(&mut seen).await.ok();
        }
    });
    let client = http2_client();
    let Answer::Failed { error } = post(&client, &url, DEADLINE).await.answer else { panic!("no failure") };
    assert_eq!(error, "the server ends the HTTP/2 connection: not a result of an error");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn over_http2_a_head_over_the_limit_is_a_failure() {
    let (url, client, _) = http2_server(|_| {
        let long = "x".repeat(2 * HTTP2_HEADER_LIST_BYTES_MAX as usize);
        Http2::Answer(http::Response::builder().header("x-long", long).body(()).unwrap())
    })
    .await;
    let Answer::Failed { error } = post(&client, &url, DEADLINE).await.answer else { panic!("no failure") };
    assert!(error.starts_with("HTTP/2: "), "{error}");
}

#[tokio::test]
async fn over_http2_an_attempt_that_hangs_holds_back_no_other() {
    let (url, client, streams) = http2_server(|number| match number {
        1 => Http2::Hang,
        _ => Http2::Answer(http::Response::new(())),
    })
    .await;
    let late = post(&client, &url, Duration::from_millis(50)).await.answer;
    assert_eq!(late, Answer::Failed { error: "no answer within 50ms".to_owned() });
    assert_eq!(post(&client, &url, DEADLINE).await, status(200, ""));
    assert_eq!(streams.load(std::sync::atomic::Ordering::SeqCst), 2);
}
