//! Answers that are packed, in other character sets, or both, as they come over a connection.

use std::io::Write as _;

use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

const JSON: &str = r#"{"id": 77, "name": "Jürgen"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
}

fn raw(status: u16, headers: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    Reply::Raw([head.as_bytes(), body].concat())
}

async fn received(reply: Reply, keep: Keep) -> Received {
    let api = Api::start(move |_| reply.clone()).await;
    let request = request(&prepared(Method::Post, &api.url()), Egress::PrivateToo).unwrap();
    let client = Client::new().unwrap();
    client.send(request, Egress::PrivateToo, DEADLINE, &SuccessStatuses(vec![(200, 299)]), keep).await
}

#[tokio::test]
async fn whatever_it_is_packed_and_written_with_an_answer_is_read() {
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(JSON.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin1: Vec<u8> = JSON.chars().map(|c| c as u8).collect();
    for (headers, body) in [
        ("", JSON.into()),
        ("Content-Encoding: identity\r\n", JSON.into()),
        ("Content-Encoding: gzip\r\n", gzip(JSON.as_bytes())),
        ("content-encoding: X-GZIP\r\n", gzip(JSON.as_bytes())),
        ("Content-Encoding: deflate\r\n", zlib(JSON.as_bytes())),
        ("Content-Encoding: zstd\r\n", zstd::encode_all(JSON.as_bytes(), 3).unwrap()),
        ("Content-Encoding: deflate\r\nContent-Encoding: gzip\r\n", gzip(&zlib(JSON.as_bytes()))),
        ("", [b"\xef\xbb\xbf", JSON.as_bytes()].concat()),
        ("Content-Type: application/json\r\n", utf16.clone()),
        ("Content-Type: application/json; charset=ISO-8859-1\r\n", latin1.clone()),
        ("Content-Encoding: gzip\r\nContent-Type: application/json; charset=latin1\r\n", gzip(&latin1)),
        ("Content-Encoding: gzip\r\n", gzip(&utf16)),
    ] {
        let all = received(raw(201, headers, &body), Keep::ALL).await;
        assert_eq!((std::str::from_utf8(&all.body.bytes), &all.body.problem), (Ok(JSON), &None), "{headers}");
        let has = |name: &str| all.headers.iter().any(|(own, _)| &**own == name);
        let is_packed =
            headers.to_lowercase().contains("gzip") || headers.contains("deflate") || headers.contains("zstd");
        if is_packed {
            assert!(!has("content-encoding") && !has("content-length"), "they were true of the packed body: {all:?}");
        }
        let part = received(raw(200, headers, &body), Keep { body_bytes_max: 1000, ..Keep::NOTHING }).await;
        assert_eq!(std::str::from_utf8(&part.body.bytes), Ok(JSON), "{headers}");
        let refusal = received(raw(400, headers, &body), Keep::NOTHING).await;
        assert_eq!(refusal.answer, Answer::Status { status: 400, excerpt: JSON.to_owned() }, "{headers}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_unpacked_says_why_and_is_no_failure() {
    let brotli = [0x0b, 0x04, 0x80, b'{', b'}', 0xff];
    let problem = "it is packed with `br`, which rowhook can't unpack: let the API answer without Content-Encoding";
    let all = received(raw(200, "Content-Encoding: br\r\n", &brotli), Keep::ALL).await;
    assert_eq!((all.lack, all.body.problem.as_deref()), (None, Some(problem)));
    let refusal = received(raw(400, "Content-Encoding: br\r\n", &brotli), Keep::NOTHING).await;
    let excerpt = format!("(the answer can't be shown: {problem})");
    assert_eq!(refusal.answer, Answer::Status { status: 400, excerpt });
    let nothing = received(raw(200, "Content-Encoding: br\r\n", &brotli), Keep::NOTHING).await;
    assert_eq!(nothing, status(200, ""), "nobody wants to read it");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_cut_however_it_is_packed() {
    let long = "x".repeat(1 << 20);
    for (headers, body) in [("", long.clone().into_bytes()), ("Content-Encoding: gzip\r\n", gzip(long.as_bytes()))] {
        let all = received(raw(200, headers, &body), Keep::ALL).await;
        let limit = crate::saga::KeptAnswer::BODY_BYTES_MAX;
        assert_eq!((all.body.bytes.len(), all.body.is_cut, all.body.problem), (limit, true, None), "{headers}");
        let Answer::Status { excerpt, .. } = received(raw(500, headers, &body), Keep::NOTHING).await.answer else {
            panic!("no answer");
        };
        assert_eq!(excerpt.len(), answer::EXCERPT_BYTES_MAX);
    }
}

#[tokio::test]
async fn what_a_rule_says_of_packing_itself_is_sent() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let mut prepared = prepared(Method::Post, &api.url());
    prepared.headers.push(header("accept-encoding", "gzip"));
    let request = request(&prepared, Egress::PrivateToo).unwrap();
    let success = SuccessStatuses(vec![(200, 299)]);
    Client::new().unwrap().send(request, Egress::PrivateToo, DEADLINE, &success, Keep::NOTHING).await;
    let head = api.seen()[0].head.to_lowercase();
    assert!(head.contains("accept-encoding: gzip\r\n") && !head.contains("identity"), "{head}");
}
