//! Which hosts are called: spellings of addresses, names that lead inside, tricks with the syntax of URLs, each as the
//! literal URL of a rule, as a row's value where the row chooses the host, and as a row's value in path and query.
//!
//! Names are resolved by a script that writes down what was asked and which addresses would have been connected to; a
//! scripted API is dialled in their place.

mod forms;

use std::sync::Arc;

use super::super::client::{self, Client, Keep};
use super::{delivery, prepare, quoted};
use crate::delivery::testing::{Api, DEADLINE, Dns, Reply};
use crate::failure::Answer;
use crate::rules::Egress;
use forms::{ADDRESSES, ALLOWED, ALLOWED_FORMS, ELSEWHERE, FOREIGN_FORMS, INWARD_NAMES, PUBLIC, TRICKS, addresses_of};

#[derive(Debug, PartialEq)]
enum End {
    /// The rule does not load.
    LoadError,
    /// No request can be made of the row.
    DeadLetter,
    /// Nothing was connected to, because of the address.
    NotConnected,
    /// This was connected to: addresses that a name led to, or the address that the URL names.
    Connected(Vec<String>),
}

struct Caller {
    api: Api,
    dns: Arc<Dns>,
    client: Client,
}

impl Caller {
    async fn new() -> Caller {
        let close = b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".to_vec();
        let api = Api::start(move |_| Reply::RawThenClose(close.clone())).await;
        let dns = Dns::new(api.address, addresses_of);
        Caller { client: Client::scripted(dns.clone(), DEADLINE), api, dns }
    }

    /// What becomes of a row with this value.
    async fn end(&self, call: &str, value: &str) -> End {
        let Ok(delivery) = delivery(call, value) else { return End::LoadError };
        let egress = delivery.call().settings.egress;
        let Ok(prepared) = prepare(&delivery) else { return End::DeadLetter };
        let Ok(request) = client::request(&prepared, egress) else { return End::DeadLetter };
        if !matches!(prepared.url.host(), Some(url::Host::Domain(_))) {
            // Addresses are not resolved and therefore not led to the API: nothing is sent.
            return End::Connected(vec![prepared.url.host_str().unwrap().to_owned()]);
        }
        // The API does not speak TLS, and a URL with a port of its own is dialled at that port; neither matters here.
        let has_answer = prepared.url.scheme() == "http" && prepared.url.port().is_none();
        let received =
            self.client.send(request, egress, DEADLINE, &delivery.call().settings.success, Keep::NOTHING).await;
        let dialled: Vec<String> = self.dns.dialled.lock().unwrap().drain(..).map(|ip| ip.to_string()).collect();
        match received.answer {
            _ if !dialled.is_empty() => {
                assert!(!has_answer || received.answer == Answer::Status { status: 204, excerpt: String::new() });
                End::Connected(dialled)
            }
            Answer::Failed { error } => {
                let known = ["public address", "metadata address", "invalid dns name"];
                assert!(known.iter().any(|known| error.contains(known)), "{error}");
                End::NotConnected
            }
            answered => panic!("{answered:?} from nowhere"),
        }
    }
}

fn connected(address: &str) -> End {
    End::Connected(vec![address.to_owned()])
}

fn address_url(address: &&str) -> String {
    format!("https://{address}/latest")
}

/// Checks one way of using the forms, and returns how many of them were refused.
async fn check(
    caller: &Caller,
    forms: impl IntoIterator<Item = (String, End)>,
    call: impl Fn(&str) -> String,
) -> usize {
    let (mut refused, mut surprises) = (0, String::new());
    for (form, expected) in forms {
        let found = caller.end(&call(&form), &form).await;
        refused += usize::from(!matches!(found, End::Connected(_)));
        if found != expected {
            surprises += &format!("{form:?}: expected {expected:?}, found {found:?}\n");
        }
    }
    assert!(surprises.is_empty(), "{surprises}");
    refused
}

fn all_forms() -> Vec<String> {
    let addresses = ADDRESSES.iter().map(address_url);
    let others = [ALLOWED_FORMS, INWARD_NAMES, FOREIGN_FORMS, TRICKS].concat();
    others.into_iter().map(str::to_owned).chain(addresses).collect()
}

#[tokio::test]
async fn a_row_that_contains_the_url_leads_to_public_addresses_of_hosts_that_a_pattern_names() {
    let caller = Caller::new().await;
    let call = |_: &str| format!("{{url: '{{{{ row.value }}}}', allow_hosts: {ALLOWED}}}");
    let end = |forms: &[&str], end: fn() -> End| forms.iter().map(|form| (form.to_string(), end())).collect::<Vec<_>>();
    let forms = [
        end(ALLOWED_FORMS, || connected(PUBLIC)),
        end(INWARD_NAMES, || End::NotConnected),
        end(FOREIGN_FORMS, || End::DeadLetter),
        end(TRICKS, || End::DeadLetter),
        ADDRESSES.iter().map(|address| (address_url(address), End::DeadLetter)).collect(),
    ];
    let forms = forms.concat_all();
    assert!(forms.len() >= 150, "{}", forms.len());
    let refused = check(&caller, forms, call).await;
    assert!(refused >= 120, "{refused}");
    // Also where the pattern is as wide as can be.
    let wide = |_: &str| "{url: '{{ row.value }}', allow_hosts: ['*', 'http://*']}".to_string();
    let addresses = ADDRESSES.iter().map(|address| (address_url(address), End::DeadLetter));
    check(&caller, addresses, wide).await;
    assert_eq!(caller.end(&call(""), "https://93.184.216.77/a").await, connected("93.184.216.77"), "named exactly");
    assert_eq!(caller.end(&wide(""), "https://93.184.216.77/a").await, End::DeadLetter, "not named");
    let named = "{url: '{{ row.value }}', allow_hosts: ['127.0.0.1', '[::1]']}";
    assert_eq!(caller.end(named, "https://127.0.0.1/").await, End::DeadLetter, "named, but not public");
}

/// The same forms where the row chooses a part of the host: the rule's own scheme and path stay.
#[tokio::test]
async fn a_row_value_in_the_host_stays_a_part_of_the_host() {
    let caller = Caller::new().await;
    let authority = |url: &str| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
        rest.trim_end_matches('/').to_owned()
    };
    let call = |_: &str| format!("{{url: 'http://{{{{ row.value }}}}/hook/{{{{ row.id }}}}', allow_hosts: {ALLOWED}}}");
    let mut refused = 0;
    for form in all_forms() {
        let value = authority(&form);
        let before = caller.api.seen().len();
        match caller.end(&call(""), &value).await {
            End::Connected(to) => assert_eq!(to, [PUBLIC], "{value:?}"),
            _ => refused += 1,
        }
        for seen in &caller.api.seen()[before..] {
            assert!(seen.head.starts_with("POST /hook/7 HTTP/1.1\r\n"), "{value:?}: {}", seen.head);
        }
    }
    assert!(refused >= 120, "{refused}");
    for (call, value, expected) in [
        ("http://{{ row.value }}.shops.example/", "a", connected(PUBLIC)),
        ("http://{{ row.value }}.shops.example/", "b.a", connected(PUBLIC)),
        ("http://{{ row.value }}.shops.example/", "evil.test/", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", "evil.test#", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", "evil.test:80", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", "user@a", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", "", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", "a.", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", ".", End::DeadLetter),
        ("http://{{ row.value }}.shops.example/", "private", End::NotConnected),
        ("http://a{{ row.value }}.example/", ".shops", connected(PUBLIC)),
        ("http://a.shops.example:{{ row.value }}/", "80", connected(PUBLIC)),
        ("http://a.shops.example:{{ row.value }}/", "22", End::DeadLetter),
        ("http://a.shops.example:{{ row.value }}/", "80/@evil.test", End::DeadLetter),
    ] {
        let call = format!("{{url: '{call}', allow_hosts: {ALLOWED}}}");
        assert_eq!(caller.end(&call, value).await, expected, "{call} {value:?}");
    }
}

#[tokio::test]
async fn a_literal_url_with_public_egress_leads_to_public_addresses_only() {
    let caller = Caller::new().await;
    let call = |form: &str| format!("{{url: {}, egress: public_only}}", quoted(form));
    let end = |forms: &[&str], end: fn() -> End| forms.iter().map(|form| (form.to_string(), end())).collect::<Vec<_>>();
    let forms = [end(ALLOWED_FORMS, || connected(PUBLIC)), end(INWARD_NAMES, || End::NotConnected)];
    check(&caller, forms.concat_all(), call).await;
    let public = [PUBLIC, ELSEWHERE].map(str::to_owned);
    let (mut load_errors, mut refused) = (0, 0);
    for form in all_forms() {
        match caller.end(&call(&form), "x").await {
            End::LoadError => load_errors += 1,
            End::DeadLetter | End::NotConnected => refused += 1,
            End::Connected(to) => assert!(to.iter().all(|address| public.contains(address)), "{form:?}: {to:?}"),
        }
    }
    assert!(load_errors >= 60 && load_errors + refused >= 120, "{load_errors} load errors, {refused} refused");
}

/// Without a word in the rule: private addresses are called, metadata services are not, in no spelling.
#[test]
fn a_literal_url_never_leads_to_a_metadata_service() {
    let mut called = Vec::new();
    for address in ADDRESSES {
        let call = format!("{{url: {}}}", quoted(&address_url(address)));
        let Ok(delivery) = delivery(&call, "x") else { continue };
        assert_eq!(delivery.call().settings.egress, Egress::PrivateToo);
        let prepared = prepare(&delivery).unwrap();
        if client::request(&prepared, Egress::PrivateToo).is_ok() {
            called.push(prepared.url.host_str().unwrap().to_owned());
        }
    }
    assert!(called.contains(&"127.0.0.1".to_owned()) && called.contains(&"10.0.0.1".to_owned()), "{called:?}");
    for metadata in ["169.254.", "a9fe", "100.100.100.200", "168.63.", "192.0.0.192", "fe80", "febf", "254]"] {
        assert!(!called.iter().any(|host| host.contains(metadata)), "{metadata} in {called:?}");
    }
}

#[tokio::test]
async fn a_value_in_path_and_query_leads_nowhere_else() {
    let caller = Caller::new().await;
    let call = "{url: 'http://api.example.com/a/{{ row.value }}/b?q={{ row.value }}'}";
    let mut sent = 0;
    for form in all_forms() {
        match caller.end(call, &form).await {
            End::Connected(to) => assert_eq!(to, [PUBLIC], "{form:?}"),
            end => {
                assert_eq!((end, form.as_str()), (End::DeadLetter, ""), "only nothing at all names another resource");
                continue;
            }
        }
        sent += 1;
        let seen = caller.api.seen().last().unwrap().clone();
        let target = seen.head.split(' ').nth(1).unwrap().to_owned();
        let url = url::Url::parse(&format!("http://api.example.com{target}")).unwrap();
        assert_eq!(url.path_segments().unwrap().count(), 3, "{target}");
        let query: Vec<_> = url.query_pairs().collect();
        assert_eq!((query.len(), &*query[0].0, &*query[0].1), (1, "q", form.as_str()), "{target}");
        assert!(seen.head.contains("\r\nhost: api.example.com\r\n"), "{}", seen.head);
    }
    assert_eq!(caller.api.seen().len(), sent);
    assert!(caller.dns.asked.lock().unwrap().iter().all(|name| name == "api.example.com"));
}

/// The name leads to a public address when it is resolved first, and inside from then on.
#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_by_the_answer_that_is_used() {
    let close = b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".to_vec();
    let api = Api::start(move |_| Reply::RawThenClose(close.clone())).await;
    let times = std::sync::atomic::AtomicUsize::new(0);
    let dns = Dns::new(api.address, move |_| {
        let first = times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        vec![if first { PUBLIC } else { "127.0.0.1" }.parse().unwrap()]
    });
    let caller = Caller { client: Client::scripted(dns.clone(), DEADLINE), api, dns };
    let call = format!("{{url: '{{{{ row.value }}}}', allow_hosts: {ALLOWED}}}");
    assert_eq!(caller.end(&call, "http://a.shops.example/").await, connected(PUBLIC));
    for _ in 0..3 {
        assert_eq!(caller.end(&call, "http://a.shops.example/").await, End::NotConnected);
    }
    assert_eq!((caller.api.seen().len(), caller.dns.asked.lock().unwrap().len()), (1, 4), "asked once per request");
}

#[test]
fn a_refused_host_is_reported_without_its_name_and_with_the_place_of_the_patterns() {
    let call = "{url: '{{ row.value }}', allow_hosts: ['*.shops.example']}";
    for value in ["https://evil-4711.test/", "https://127.0.0.1/4711", "https://4711@a.shops.example/", "4711", "a b"] {
        let delivery = delivery(call, value).unwrap();
        let message = prepare(&delivery).unwrap_err();
        assert!(message.starts_with("`url`: ") && !message.contains("4711") && !message.contains("evil"), "{message}");
    }
    let delivery = delivery(call, "https://evil-4711.test/").unwrap();
    let expected = "`url`: the rendered URL leads to no host that `allow_hosts` names (r.yaml:4:49)";
    assert_eq!(prepare(&delivery).unwrap_err(), expected);
}

/// One list out of several.
trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}
