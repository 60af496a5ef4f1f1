//! The limit: the same HTTP client, as many connections, bodies of the same size, and nothing else.
//!
//! Runs in a process of its own, as rowhook does, so that both share the machine with the receiver in the same way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn run(url: &str, connections: u64, requests: u64, body_bytes: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
        let url: reqwest::Url = url.parse().expect("a URL");
        let body = bytes::Bytes::from(vec![b'x'; body_bytes as usize]);
        let sent = Arc::new(AtomicU64::new(0));
        let workers = (0..connections).map(|_| {
            let (client, url, body, sent) = (client.clone(), url.clone(), body.clone(), sent.clone());
            tokio::spawn(async move {
                while sent.fetch_add(1, Ordering::Relaxed) < requests {
                    let request = client
                        .post(url.clone())
                        .header("content-type", "application/json")
                        .header("idempotency-key", "5b1f3c0e-7a54-4c1b-9d0e-2f6a8c4371d9")
                        .header("user-agent", "bare-loop")
                        .body(body.clone());
                    let answer = request.send().await.expect("an answer");
                    answer.bytes().await.expect("a body");
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.expect("a worker ends");
        }
    });
}
