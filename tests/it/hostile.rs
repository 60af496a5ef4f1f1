//! The real program against hostile APIs and rows: what it prints and logs steers no terminal, what it needs stays small,
//! and only the rules decide where it connects.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::letters::{Letter, fill};
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

const STEERING: [char; 8] = ['\u{1b}', '\u{7}', '\u{8}', '\r', '\u{9b}', '\u{85}', '\u{202e}', '\u{2066}'];

/// Answers by the row's id. A terminal's escapes stand in every part of an answer that can carry them.
fn answer_of(id: usize) -> Vec<u8> {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}txt\u{2066}\u{85}\r\u{8}";
    let body =
        |status: &str| format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()).into_bytes();
    match id % 8 {
        0 => body("400"),
        1 => body("500"),
        2 => format!("HTTP/1.1 400 {evil}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        3 => format!("HTTP/1.1 400 X\r\nX-Evil: {evil}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        4 => format!("HTTP/1.1 429 X\r\nRetry-After: {evil}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        5 => format!("{evil}\r\n\r\n").into_bytes(),
        6 => format!("HTTP/1.1 302 X\r\nLocation: http://127.0.0.1/{evil}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        _ => format!("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n{evil}\r\n").into_bytes(),
    }
}

/// The number that the path of a request ends with; none when the connection ends before.
fn requested(stream: &mut TcpStream) -> Option<usize> {
    let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
    // The whole request: its body ends with the change event's closing braces.
    while !read.ends_with(b"}}") {
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&bytes[..count]);
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    head.split(' ').nth(1)?.rsplit('/').next()?.parse().ok()
}

/// An API that answers each request with `answer`, then closes the connection; its address.
fn api(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || {
                if let Some(id) = requested(&mut stream) {
                    answer(id, &mut stream);
                }
            });
        }
    });
    address
}

fn home_calling(address: &str, timeout: &str) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: hostile\n    order_by: none\n    retry: {{retries: 0}}\n    call: {{url: \
         'http://{address}/{{{{ row.id }}}}', timeout: {timeout}}}\n"
    );
    // This is about the answers, not about an unavailable API.
    let targets = format!("targets:\n  http://{address}: {{breaker: off}}\n");
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("hostile.yaml", &rule).with_rule("targets.yaml", &targets)
}

#[track_caller]
fn assert_steers_nothing(text: &str) {
    assert!(!text.chars().any(|c| STEERING.contains(&c)), "{text:?}");
}

#[test]
fn nothing_that_an_api_answers_or_a_row_holds_steers_a_terminal() {
    let address = api(|id, stream| {
        let _ = stream.write_all(&answer_of(id));
    });
    let home = home_calling(&address, "20s");
    let note = "a\u{1b}[31m\u{202e}b\r\u{9b}2J";
    let letters: Vec<Letter> = (0..16).map(|id| Letter { note, ..Letter::of("hostile", id) }).collect();
    fill(&home, &letters);
    for format in ["text", "json"] {
        let replay = home.run(&["--log", "debug", "--log-format", format, "dead-letters", "replay", "--all"]);
        assert!(replay.stdout.contains("0 delivered, 16 still dead"), "{}", replay.stdout);
        assert_steers_nothing(&replay.stdout);
        assert_steers_nothing(&replay.stderr);
        assert!(replay.stderr.contains("attempt answered"), "{}", replay.stderr);
        assert!(!replay.stderr.contains("owned"), "answers are in no log: {}", replay.stderr);
        if format == "json" {
            let lines: Vec<&str> = replay.stderr.lines().filter(|line| line.starts_with('{')).collect();
            assert!(lines.len() >= 16 && lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
        }
    }
    for id in 1..=16 {
        assert_steers_nothing(&home.run(&["dead-letters", "show", &id.to_string()]).stdout);
    }
    for args in [
        &["dead-letters", "list"][..],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "replay", "--all", "--dry-run"],
    ] {
        assert_steers_nothing(&home.run(args).stdout);
    }
    let page = home.run(&["dead-letters", "show", "1"]).stdout;
    assert!(page.contains("owned"), "what an API says is shown, cleaned: {page}");
}

/// Thirty-two answers at a time that never end, each faster than it can be discarded.
#[test]
fn answers_without_end_take_no_memory() {
    let flood = |head: &'static [u8], again: &'static [u8]| {
        move |stream: &mut TcpStream| {
            let block = again.repeat(65_536 / again.len());
            let mut said = stream.write_all(head);
            while said.is_ok() {
                said = stream.write_all(&block);
            }
        }
    };
    let body = flood(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x");
    let refusal = flood(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n");
    let headers = flood(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n");
    let header = flood(b"HTTP/1.1 200 OK\r\nX-A: ", b"b");
    let interim = flood(b"", b"HTTP/1.1 100 C\r\n\r\n");
    let address = api(move |id, stream| match id % 5 {
        0 => body(stream),
        1 => refusal(stream),
        2 => headers(stream),
        3 => header(stream),
        _ => interim(stream),
    });
    let home = home_calling(&address, "1s");
    let letters: Vec<Letter> = (0..50).map(|id| Letter::of("hostile", id)).collect();
    fill(&home, &letters);
    let mut replay = home.start(&["dead-letters", "replay", "--all"]);
    let mut rss_kib_max = 0;
    for line in (0..50).step_by(5) {
        replay.wait_for_line(&format!("{}  hostile", line + 1), std::time::Duration::from_secs(60));
        if !replay.has_ended() {
            rss_kib_max = rss_kib_max.max(replay.rss_kib());
        }
    }
    assert_eq!(replay.wait(std::time::Duration::from_secs(60)), 1);
    // How many heads and interim answers fit into the time is up to the machine; that each has its end is not.
    let ended = replay.lines().iter().filter(|line| line.contains("  hostile  ")).count();
    assert_eq!(ended, 50, "{:?}", replay.lines());
    assert!(rss_kib_max < 128 * 1024, "{rss_kib_max} KiB");
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let trapped = Arc::new(AtomicUsize::new(0));
    let count = trapped.clone();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", trap.local_addr().unwrap());
    thread::spawn(move || {
        for _ in trap.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let receiver = Receiver::start(|_| Answer::ok());
    let mut home = home_calling(receiver.url("").trim_start_matches("http://"), "20s");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        home = home.with_env(name, &proxy);
    }
    fill(&home, &[Letter::of("hostile", 1)]);
    let finished = home.run(&["dead-letters", "replay", "--all"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!((receiver.count(), trapped.load(Ordering::SeqCst)), (1, 0));
}
