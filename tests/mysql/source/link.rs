//! The binlog's own connection: it logs in and verifies the server as strictly as the one before it, and reads what is
//! large.
//!
//! A reader sends its queries over its first connection and reads over the second one; a relay in between separates them.

use std::net::SocketAddr;

use rowhook::change::Value;
use rowhook::source::{Error, FirstConnect, TlsMode};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Passes connections on: before each, `sql` is run by root of the first server; the second and later ones go to
/// `port_after`.
struct Relay {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(mut root: Conn, statements: [&'static str; 2], port: u16, port_after: u16) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut turns = std::iter::once((statements[0], port)).chain(std::iter::repeat((statements[1], port_after)));
        while let Ok((mut client, _)) = listener.accept().await {
            let (statement, port) = turns.next().expect("a turn for every connection");
            if !statement.is_empty() {
                sql(&mut root, statement).await;
            }
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    Relay { address, task }
}

fn through(relay: &Relay, mut settings: Settings, mode: TlsMode) -> Settings {
    settings.port = relay.address.port();
    settings.first_connect = FirstConnect::FailFast;
    settings.tls.mode = mode;
    settings
}

#[tokio::test]
async fn a_password_that_the_server_has_not_cached_is_proved_with_and_without_tls() {
    let server = Mysql::start(&[]).await;
    let port = server.server.port();
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    for (n, mode) in [(1, TlsMode::Disabled), (2, TlsMode::Required)] {
        // Forgets what was cached, so that each connection goes the full way.
        let relay = relay(server.root().await, ["FLUSH PRIVILEGES"; 2], port, port).await;
        let mut reader = Reader::new(through(&relay, server.settings(), mode), latest());
        reader.started().await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
        done(&mut root, n).await;
        assert_eq!(ints(&reader.until_done(n).await), [n]);
    }
    // An account without a password.
    sql(&mut root, "CREATE USER open@'%' IDENTIFIED BY ''").await;
    sql(&mut root, "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO open@'%'").await;
    let mut settings = server.settings();
    settings.user = "open".to_string();
    settings.password = rowhook::source::Password(String::new()).into();
    Reader::new(settings, latest()).started().await;
    // The password changes between the two connections: that is a refused login, not a missing privilege.
    let changed = "ALTER USER hook@'%' IDENTIFIED BY 'another'";
    let relay = relay(server.root().await, ["", changed], port, port).await;
    let error = Reader::new(through(&relay, server.settings(), TlsMode::Preferred), latest()).error().await;
    assert!(matches!(error, Error::Login { .. }), "{error}");
}

#[tokio::test]
async fn the_second_connection_trusts_no_more_than_the_first() {
    let server = Mysql::start(&[]).await;
    let mut other = Mysql::start(&[]).await;
    // Certificates of its own: the server makes new ones when it finds none.
    other.server.shutdown();
    for file in std::fs::read_dir(other.server.data_dir()).expect("a data directory") {
        let path = file.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    other.server.restart(&[]);
    let error = async |mode: TlsMode, other: &Mysql| {
        let relay = relay(server.root().await, [""; 2], server.server.port(), other.server.port()).await;
        let mut settings = through(&relay, server.settings(), mode);
        settings.tls.ca = (mode == TlsMode::VerifyCa).then(|| server.server.data_dir().join("ca.pem"));
        Reader::new(settings, latest()).error().await
    };
    let refused = error(TlsMode::VerifyCa, &other).await;
    assert!(matches!(refused, Error::Tls { .. }), "{refused}");
    // The server that answers is not the one that the position was checked against.
    let refused = error(TlsMode::Required, &other).await;
    assert!(matches!(&refused, Error::Lost(text) if text.contains("first server")), "{refused}");
    other.server.restart(&["--tls-version="]);
    let refused = error(TlsMode::Required, &other).await;
    assert!(matches!(&refused, Error::Tls { problem, .. } if problem.contains("offers no TLS")), "{refused}");
    // Where the first was encrypted, the second has to be.
    let refused = error(TlsMode::Preferred, &other).await;
    assert!(matches!(&refused, Error::Tls { problem, .. } if problem.contains("encrypted before")), "{refused}");
    let refused = error(TlsMode::Disabled, &other).await;
    assert!(matches!(&refused, Error::Lost(text) if text.contains("first server")), "{refused}");
}

#[tokio::test]
async fn events_of_many_packets_are_read_whole_with_and_without_tls_and_compression() {
    let server = Mysql::start(&["--max-allowed-packet=128M"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s LONGTEXT)").await;
    for (n, mode, compression) in
        [(1, TlsMode::Disabled, "OFF"), (2, TlsMode::Required, "OFF"), (3, TlsMode::Disabled, "ON")]
    {
        let mut settings = server.settings();
        settings.tls.mode = mode;
        let mut reader = Reader::new(settings, latest());
        reader.started().await;
        sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {compression}")).await;
        // Over 16 MiB, and as an update, which holds the row twice, over 32 MiB.
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n}, REPEAT('{n}abcdefghijklmno', 1100000))")).await;
        sql(&mut root, &format!("UPDATE test.a SET s = CONCAT(s, 'end') WHERE n = {n}")).await;
        done(&mut root, n).await;
        let changes = reader.until_done(n).await;
        assert_eq!(ints(&changes), [n, n]);
        let expected = format!("{n}abcdefghijklmno").repeat(1_100_000) + "end";
        assert!(changes[1].latest(1) == Some(Value::Text(expected.into())), "round {n}");
    }
}

#[tokio::test]
async fn checksums_that_come_and_go_are_followed() {
    let server = Mysql::start(&["--binlog-checksum=NONE"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for (n, checksum) in [(1, "CRC32"), (2, "NONE"), (3, "CRC32"), (4, "NONE")] {
        sql(&mut root, &format!("SET GLOBAL binlog_checksum = {checksum}")).await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
        done(&mut root, n).await;
        assert_eq!(ints(&reader.until_done(n).await), [n], "{checksum}");
        // One that begins under this setting and reads files of both kinds.
        let mut other = server.follow(source::From::Start(Start::Earliest));
        assert_eq!(ints(&other.until_done(n).await), (1..=n).collect::<Vec<_>>(), "{checksum}");
    }
}

#[tokio::test]
async fn after_tagged_gtids_only_what_is_missing_is_asked_for() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    for (n, tag) in [(1, ""), (2, ":one"), (3, ":two"), (4, ":one"), (5, "")] {
        sql(&mut root, &format!("SET gtid_next = 'AUTOMATIC{tag}'")).await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
    }
    let position = server.follow(latest()).started().await;
    let set = position.parts().gtids.as_ref().expect("a set").to_string();
    assert!(set.contains(":one:1-2:two:1"), "{set}");
    sql(&mut root, "SET gtid_next = 'AUTOMATIC:two'").await;
    sql(&mut root, "INSERT INTO test.a VALUES (6)").await;
    done(&mut root, 1).await;
    assert_eq!(ints(&server.follow(resume(&position)).until_done(1).await), [6]);
}
