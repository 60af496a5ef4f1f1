//! An HTTP proxy as tests need it: one that forwards, refuses, closes or says nothing, as scripted.
//!
//! In: a script from the host and port that a client wants to where it is led, or to how it is refused. Out: the heads of
//! all requests, CONNECT and plain ones, in the order in which they came. A tunnel, and a plain connection, is copied byte by
//! byte until one side closes. Resolves no names: the script says where they lead. Serves from threads of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a proxy does with a client that wants to get somewhere.
#[derive(Debug, Clone, Copy)]
pub enum Forward {
    /// To this port of this machine.
    To(u16),
    /// Answers with this status.
    Refuse(u16),
    /// Closes the connection without an answer.
    Close,
}

/// A running proxy; its threads end with the process.
pub struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn start(script: impl Fn(&str) -> Forward + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the system has a free port");
        let address = listener.local_addr().expect("it listens");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (script, kept) = (Arc::new(script), heads.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (script, heads) = (script.clone(), kept.clone());
                thread::spawn(move || serve(client, &*script, &heads));
            }
        });
        Proxy { address, heads }
    }

    /// `host:port`, for after the scheme of a URL.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The heads of the requests, each with its lines.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no thread panicked with it").clone()
    }

    /// The first lines of the requests.
    pub fn lines(&self) -> Vec<String> {
        self.heads().iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

fn serve(mut client: TcpStream, script: &dyn Fn(&str) -> Forward, heads: &Mutex<Vec<String>>) -> Option<()> {
    let mut read = Vec::new();
    let end = loop {
        let mut chunk = [0; 4096];
        let count = client.read(&mut chunk).ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&chunk[..count]);
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    heads.lock().expect("no thread panicked with it").push(head.clone());
    let mut words = head.split(' ');
    let (method, wanted) = (words.next()?, words.next()?);
    let is_tunnel = method == "CONNECT";
    let authority = match wanted.strip_prefix("http://") {
        Some(url) => url.split('/').next().unwrap_or_default(),
        None => wanted,
    };
    match script(authority) {
        Forward::To(port) => {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
            match is_tunnel {
                true => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?,
                false => server.write_all(&read).ok()?,
            }
            let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut server, &mut client);
            let _ = client.shutdown(Shutdown::Both);
        }
        Forward::Refuse(status) => {
            client.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
        }
        Forward::Close => {}
    }
    Some(())
}
