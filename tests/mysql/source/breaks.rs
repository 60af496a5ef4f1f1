//! Broken connections, restarts, silence and damaged bytes cost nothing and repeat nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use rowhook::change::Value;
use rowhook::source::{Error, FirstConnect, ReadStatus, TlsMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// More than come before reading begins.
const PIECES_MAX: i64 = 40;
/// The server takes no more than 151 connections.
const READERS_AT_A_TIME: usize = 8;

#[tokio::test]
async fn a_broken_connection_or_a_restarted_server_costs_and_repeats_nothing() {
    let mut server = Mysql::start(&["--binlog-row-metadata=FULL"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for n in 0..10 {
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
        for id in dump_threads(&mut root).await {
            let _ = root.query_drop(format!("KILL {id}")).await;
        }
    }
    done(&mut root, 1).await;
    assert_eq!(ints(&reader.until_done(1).await), (0..10).collect::<Vec<_>>());
    drop(root);
    for (round, kill) in [(2, false), (3, true)] {
        server.restart(kill);
        let mut root = server.root().await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({})", round * 100)).await;
        done(&mut root, round).await;
        assert_eq!(ints(&reader.until_done(round).await), [round * 100]);
    }
    assert!(reader.metrics.reconnects.get() >= 2);
}

/// A connection in between that can go silent or flip a byte.
struct Proxy {
    address: SocketAddr,
    is_silent: Arc<AtomicBool>,
    /// The connection that brings the last of so many pieces goes silent with it, once.
    pieces_until_silence: Arc<AtomicI64>,
    /// The bytes beside which one is flipped; none: nothing is.
    flip_marker: Arc<std::sync::Mutex<Option<Vec<u8>>>>,
    /// Where the byte to flip stands, counted from the marker.
    flip_offset: Arc<AtomicI64>,
    flips: Arc<AtomicU64>,
    _task: tokio::task::JoinHandle<()>,
}

async fn proxy(port: u16) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let is_silent = Arc::new(AtomicBool::new(false));
    let pieces_until_silence = Arc::new(AtomicI64::new(i64::MAX));
    let pieces = Arc::clone(&pieces_until_silence);
    let flip_marker: Arc<std::sync::Mutex<Option<Vec<u8>>>> = Arc::default();
    let flips = Arc::new(AtomicU64::new(0));
    let flip_offset = Arc::new(AtomicI64::new(0));
    let offset = Arc::clone(&flip_offset);
    let (silent, marker, count) = (Arc::clone(&is_silent), Arc::clone(&flip_marker), Arc::clone(&flips));
    let task = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
            let (mut client_read, mut client_write) = client.into_split();
            let (mut server_read, mut server_write) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut client_read, &mut server_write).await });
            let (silent, marker, count) = (Arc::clone(&silent), Arc::clone(&marker), Arc::clone(&count));
            let (offset, pieces) = (Arc::clone(&offset), Arc::clone(&pieces));
            // Silence belongs to the connections that live when it falls.
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length @ 1..) = server_read.read(&mut buffer).await {
                    let is_last = pieces.fetch_sub(1, Ordering::SeqCst) == 1;
                    if is_last || silent.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    let chunk = &mut buffer[..length];
                    let wanted = marker.lock().expect("a lock").clone();
                    if let Some(wanted) = wanted
                        && let Some(at) = chunk.windows(wanted.len()).position(|window| window == wanted)
                    {
                        chunk[at.checked_add_signed(offset.load(Ordering::SeqCst) as isize).expect("inside")] ^= 0x01;
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    if client_write.write_all(chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Proxy { address, is_silent, pieces_until_silence, flip_marker, flip_offset, flips, _task: task }
}

#[tokio::test]
async fn silence_is_noticed_and_a_flipped_bit_is_never_taken_for_data() {
    let server = Mysql::start(&["--binlog-row-metadata=FULL"]).await;
    let proxy = proxy(server.server.port()).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(100))").await;
    let mut settings = server.settings();
    settings.port = proxy.address.port();
    settings.tls.mode = TlsMode::Disabled;
    let mut reader = Reader::new(settings.clone(), latest());
    reader.started().await;
    wait_idle(&mut reader).await;
    proxy.is_silent.store(true, Ordering::SeqCst);
    sql(&mut root, "INSERT INTO test.a VALUES (1, 'x')").await;
    let noticed = reader.following.status.wait_for(
        |status| matches!(status, ReadStatus::Connecting { last_error: Some(error), .. } if error.contains("silent")),
    );
    timeout(DEADLINE, noticed).await.expect("in time").expect("a status");
    proxy.is_silent.store(false, Ordering::SeqCst);
    done(&mut root, 1).await;
    assert_eq!(ints(&reader.until_done(1).await), [1]);
    // A bit flips once: read again.
    // The last one is the length in the event's header, 26 bytes before the text.
    for (n, compression, offset) in [(2, "OFF", 0), (3, "ON", 0), (5, "OFF", -26)] {
        proxy.flip_offset.store(offset, Ordering::SeqCst);
        sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {compression}")).await;
        let marker = if compression == "ON" { vec![0x28, 0xb5, 0x2f, 0xfd] } else { b"marker-in-a-row".to_vec() };
        let before = proxy.flips.load(Ordering::SeqCst);
        *proxy.flip_marker.lock().expect("a lock") = Some(marker);
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n}, 'marker-in-a-row')")).await;
        while proxy.flips.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        *proxy.flip_marker.lock().expect("a lock") = None;
        done(&mut root, n).await;
        let changes = reader.until_done(n).await;
        assert_eq!(ints(&changes), [n]);
        assert_eq!(changes[0].latest(1), Some(Value::Text("marker-in-a-row".into())));
    }
    proxy.flip_offset.store(0, Ordering::SeqCst);
    // It flips every time: given up, with the place.
    *proxy.flip_marker.lock().expect("a lock") = Some(b"marker-in-a-row".to_vec());
    sql(&mut root, "SET SESSION binlog_transaction_compression = OFF").await;
    sql(&mut root, "INSERT INTO test.a VALUES (4, 'marker-in-a-row')").await;
    let error = reader.error().await;
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
}

/// If the server leaves anything unanswered before reading begins (the login, a query, the stream), it is asked again.
#[tokio::test]
async fn a_server_that_goes_silent_at_any_answer_is_asked_again() {
    let server = Mysql::start(&["--binlog-row-metadata=MINIMAL"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let position = {
        let mut reader = server.follow(latest());
        reader.started().await;
        done(&mut root, 1).await;
        reader.until_done(1).await;
        reader.position.expect("reading began")
    };
    let one = async |pieces: i64, from: source::From| {
        let proxy = proxy(server.server.port()).await;
        proxy.pieces_until_silence.store(pieces, Ordering::SeqCst);
        let mut settings = server.settings();
        settings.port = proxy.address.port();
        settings.tls.mode = TlsMode::Disabled;
        settings.first_connect = FirstConnect::Wait;
        settings.connect_timeout = Duration::from_secs(2);
        settings.answer_timeout = Duration::from_secs(1);
        let mut reader = Reader::new(settings, from);
        reader.started().await;
        (proxy, reader)
    };
    let (mut interrupted, mut all) = (0, 0);
    let pieces: Vec<i64> = (1..=PIECES_MAX).collect();
    for (round, pieces) in (1..).zip(pieces.chunks(READERS_AT_A_TIME)) {
        let mut new = join_all(pieces.iter().map(|pieces| one(*pieces, latest()))).await;
        let mut resumed = join_all(pieces.iter().map(|pieces| one(*pieces, resume(&position)))).await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({round})")).await;
        done(&mut root, round + 1).await;
        for (_, reader) in &mut new {
            assert_eq!(ints(&reader.until_done(round + 1).await), [round]);
        }
        for (_, reader) in &mut resumed {
            assert_eq!(ints(&reader.until_done(round + 1).await), (1..=round).collect::<Vec<_>>());
        }
        all += new.len() + resumed.len();
        interrupted += new.iter().chain(&resumed).filter(|(_, reader)| reader.metrics.reconnects.get() > 0).count();
    }
    assert!((20..all).contains(&interrupted), "{interrupted} of {all} were interrupted");
}
