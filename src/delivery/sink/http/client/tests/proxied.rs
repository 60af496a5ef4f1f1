//! Which names are called through a proxy, which resolves them itself.

use std::net::IpAddr;

use super::*;
use crate::delivery::testing::{Api, Dns, Reply};

/// What came of a call of this name over a client with a proxy; what the proxy was asked for; which names were looked up.
async fn call(addresses: &[&str], url: &str, egress: Egress) -> (String, Vec<String>, Vec<String>) {
    let proxy = Api::start(|_| Reply::Status(204)).await;
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let dns = Dns::new(proxy.address, move |_| addresses.clone());
    let through = Some(Arc::new(ProxyServer::parse(&proxy.url()).unwrap()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::asking(Names::Scripted(dns.clone()), DEADLINE, through).unwrap();
    let answer = match request(&prepared(Method::Post, url), egress) {
        Ok(request) => {
            let success = SuccessStatuses(vec![(200, 299)]);
            client.send(request, egress, DEADLINE, &success, Keep::NOTHING).await.answer.in_words()
        }
        Err(problem) => problem,
    };
    let lines = proxy.seen().iter().map(|seen| seen.head.lines().next().unwrap().to_owned()).collect();
    let asked = dns.asked.lock().unwrap().clone();
    (answer, lines, asked)
}

#[tokio::test]
async fn a_call_to_public_addresses_is_handed_to_a_proxy_only_if_all_that_is_known_of_the_name_is_public() {
    const PUBLIC: &str = "93.184.216.34";
    let not_public = "the host is no public address, and this call may connect to public addresses only";
    let metadata = "the host is a link-local or cloud metadata address, which rowhook never calls";
    for (addresses, said) in [
        (&[PUBLIC, "10.0.0.7"][..], not_public),
        (&["127.0.0.1"], not_public),
        (&[PUBLIC, "169.254.169.254"], metadata),
        (&[], "the host name cannot be resolved: no name server knows it"),
    ] {
        let (answer, lines, asked) = call(addresses, "http://a.test/x", Egress::PublicOnly).await;
        assert!(answer.contains(said), "{addresses:?}: {answer}");
        assert_eq!((lines.len(), asked), (0, vec!["a.test".to_owned()]), "{addresses:?}");
    }
    let (answer, lines, _) = call(&[PUBLIC], "http://a.test/x", Egress::PublicOnly).await;
    assert!(answer.contains("204"), "{answer}");
    assert_eq!(lines, ["POST http://a.test/x HTTP/1.1"]);
}

#[tokio::test]
async fn a_host_that_the_rule_names_is_looked_up_by_the_proxy_alone() {
    let (answer, lines, asked) = call(&[], "http://only-the-proxy-knows.test/", Egress::PrivateToo).await;
    assert!(answer.contains("204"), "{answer}");
    assert_eq!((lines, asked), (vec!["POST http://only-the-proxy-knows.test/ HTTP/1.1".to_owned()], vec![]));
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_as_without_a_proxy() {
    for (url, egress, said) in [
        ("http://169.254.169.254/", Egress::PrivateToo, "metadata address"),
        ("http://10.0.0.7/", Egress::PublicOnly, "no public address"),
    ] {
        let (answer, lines, asked) = call(&[], url, egress).await;
        assert!(answer.contains(said) && lines.is_empty() && asked.is_empty(), "{url}: {answer}");
    }
}
