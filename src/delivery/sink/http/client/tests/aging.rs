//! Connections of a greatest age: steady traffic follows a name to its new address, and calls under way are not harmed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::delivery::testing::Dns;
use crate::rules::{ProxyChoice, TargetTls, Verification};

const URL: &str = "http://api.example.com/";

/// Reached within a call or two.
const SHORT: Duration = Duration::from_millis(20);

/// A server that speaks HTTP/2 alone and answers 200 with two parts, the second one only with a permit.
async fn http2_api(admission: Arc<Semaphore>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (counted, admission) = (counted.clone(), admission.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let admission = admission.clone();
                    tokio::spawn(async move {
                        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                        body.send_data(Bytes::from_static(b"one "), false).unwrap();
                        admission.acquire().await.unwrap().forget();
                        body.send_data(Bytes::from_static(b"two"), true).unwrap();
                    });
                }
            });
        }
    });
    (address, count)
}

fn http2_client(dns: &Arc<Dns>) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names = Names::Scripted(dns.clone());
    let resolver = Resolver { egress: Egress::PrivateToo, names: names.clone() };
    let pool = Pool::new(SHORT, move || builder(resolver.clone()).tls_certs_only([]).http2_prior_knowledge().build());
    let pool = pool.unwrap();
    Client::over(pool.clone(), pool, names, SHORT)
}

fn dns(api: SocketAddr) -> Arc<Dns> {
    Dns::new(api, |_| vec![[93, 184, 216, 34].into()])
}

async fn whole_answer(client: &Client, egress: Egress) -> Received {
    let request = request(&prepared(Method::Post, URL), egress).unwrap();
    client.send(request, egress, DEADLINE, &SuccessStatuses(vec![(200, 299)]), Keep::ALL).await
}

/// Calls until the new address is reached; every call is answered 200.
async fn call_until(client: &Client, egress: Egress, reached: impl Fn() -> bool) {
    let moved = async {
        while !reached() {
            let received = whole_answer(client, egress).await;
            assert!(matches!(received.answer, Answer::Status { status: 200, .. }), "{received:?}");
        }
    };
    tokio::time::timeout(DEADLINE, moved).await.expect("the calls follow");
}

#[tokio::test]
async fn steady_traffic_follows_a_name_to_its_new_address() {
    let tls = Arc::new(TargetTls { authorities: None, identity: None, verification: Verification::None });
    for (name, egress, has_tls) in
        [("plain", Egress::PrivateToo, false), ("public", Egress::PublicOnly, false), ("tls", Egress::PrivateToo, true)]
    {
        let [old, new] = [Api::start(|_| Reply::Status(200)).await, Api::start(|_| Reply::Status(200)).await];
        let dns = dns(old.address);
        let client = Client::scripted(dns.clone(), SHORT);
        let client = if has_tls { client.on_route(Some(&tls), &ProxyChoice::AsSet).unwrap() } else { client };
        call_until(&client, egress, || !old.seen().is_empty()).await;
        dns.move_to(new.address);
        call_until(&client, egress, || !new.seen().is_empty()).await;
        let before = old.seen().len();
        for _ in 0..5 {
            whole_answer(&client, egress).await;
        }
        assert_eq!(old.seen().len(), before, "{name}: nothing goes to the old address any more");
    }
}

#[tokio::test]
async fn tokens_are_asked_for_at_the_new_address_too() {
    let [old, new] = [Api::start(|_| Reply::Status(200)).await, Api::start(|_| Reply::Status(200)).await];
    let dns = dns(old.address);
    let client = Client::scripted(dns.clone(), SHORT);
    let fetch = async || {
        let request = request(&prepared(Method::Post, URL), Egress::PrivateToo).unwrap();
        client.fetch(request, Egress::PrivateToo, DEADLINE, 1000).await.expect("an answer")
    };
    fetch().await;
    dns.move_to(new.address);
    let moved = async {
        while new.seen().is_empty() {
            fetch().await;
        }
    };
    tokio::time::timeout(DEADLINE, moved).await.expect("the requests follow");
}

#[tokio::test]
async fn connections_that_are_not_old_are_used_again() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let client = Client::scripted(dns(api.address), Duration::from_secs(3600));
    for _ in 0..20 {
        whole_answer(&client, Egress::PrivateToo).await;
    }
    assert_eq!((api.seen().len(), api.connections()), (20, 1));
}

#[tokio::test]
async fn a_call_that_is_under_way_when_its_connection_grows_old_gets_its_answer() {
    let admission = Arc::new(Semaphore::new(0));
    let held = admission.clone();
    let old =
        Api::start(move |seen| if seen.connection == 1 { Reply::When(held.clone()) } else { Reply::Status(200) }).await;
    let new = Api::start(|_| Reply::Status(200)).await;
    let dns = dns(old.address);
    let client = Client::scripted(dns.clone(), SHORT);
    let under_way = tokio::spawn({
        let client = client.clone();
        async move { whole_answer(&client, Egress::PrivateToo).await }
    });
    old.wait_for(1).await;
    dns.move_to(new.address);
    call_until(&client, Egress::PrivateToo, || !new.seen().is_empty()).await;
    admission.add_permits(1);
    let received = under_way.await.unwrap();
    assert!(matches!(received.answer, Answer::Status { status: 200, .. }), "{received:?}");
    assert_eq!(old.seen().iter().filter(|seen| seen.connection == 1).count(), 1, "and nothing was sent again");
}

#[tokio::test]
async fn over_http2_too_calls_move_and_the_answer_under_way_comes_whole() {
    let (admission, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1 << 20)));
    let (old, asked) = http2_api(admission.clone()).await;
    let (new, reached) = http2_api(open).await;
    let dns = dns(old);
    let client = http2_client(&dns);
    let under_way = tokio::spawn({
        let client = client.clone();
        async move { whole_answer(&client, Egress::PrivateToo).await }
    });
    let begun = async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, begun).await.expect("the call comes");
    dns.move_to(new);
    // Calls that share the old connection wait for the gate with the first one: they are given up.
    let moved = async {
        while reached.load(Ordering::SeqCst) == 0 {
            let _ = tokio::time::timeout(SHORT, whole_answer(&client, Egress::PrivateToo)).await;
        }
    };
    tokio::time::timeout(DEADLINE, moved).await.expect("the calls follow");
    admission.add_permits(1 << 20);
    let received = under_way.await.unwrap();
    assert_eq!((received.lack, &*received.body.bytes, received.body.is_cut), (None, &b"one two"[..], false));
}
