//! The servers that rules call: whether their names are known, and with `--connect` whether a connection can be made.
//!
//! In: rules. Out: a finding for each host whose name leads nowhere, and with `--connect` one for each way to a target, with the
//! protocol and the server's certificate. Hosts that rows choose are not asked, and none behind a proxy, which resolves their names. All
//! at the same time; sends no request.

use std::path::PathBuf;

use futures_util::future::join_all;
use url::{Host, Url};

use super::finding::{CheckFinding, WARNING};
use crate::delivery::{Destination, Handshake, ShownCertificate};
use crate::rules::{Auth, Call, Diagnostic, FilePlace, ProxyChoice, Rule, RuleSet};

/// A certificate that is renewed by a machine is so well before.
const DAYS_LEFT_MIN: u64 = 14;

/// Endings of names that are for examples (RFC 2606), and lead nowhere.
const PLACEHOLDERS: [&str; 2] = ["example", "invalid"];

/// One way to a server, and the rules that take it.
struct Way {
    destination: Destination,
    path: PathBuf,
    /// Of the first URL that leads there.
    place: FilePlace,
    rules: Vec<String>,
}

/// What is known of the names, without a connection.
pub(super) async fn names(rules: &RuleSet, proxy: &ProxyChoice) -> Vec<CheckFinding> {
    let mut ways = ways(rules, proxy);
    // One look-up for each name, whatever its port.
    let mut seen: Vec<String> = Vec::new();
    ways.retain(|way| match way.destination.url.host() {
        Some(Host::Domain(name)) if !seen.contains(&name.to_string()) => {
            seen.push(name.to_string());
            true
        }
        _ => false,
    });
    let found = join_all(ways.iter().map(async |way| match is_placeholder(&way.destination.url) {
        true => Err("it is a placeholder".to_string()),
        false => way.destination.look_up().await.map(drop),
    }));
    let found = found.await;
    ways.iter().zip(found).filter_map(|(way, found)| Some(way.warning(&found.err()?))).collect()
}

/// The names, and a connection to each.
pub(super) async fn connections(rules: &RuleSet, proxy: &ProxyChoice) -> Vec<CheckFinding> {
    let ways = ways(rules, proxy);
    let found = join_all(ways.iter().map(async |way| match is_placeholder(&way.destination.url) {
        true => Err("it is a placeholder".to_string()),
        false => way.destination.shake_hands().await,
    }));
    let found = found.await;
    ways.iter()
        .zip(found)
        .map(|(way, found)| match found {
            Ok(handshake) => way.connected(&handshake),
            Err(problem) => way.warning(&problem),
        })
        .collect()
}

fn is_placeholder(url: &Url) -> bool {
    url.host_str().is_some_and(|host| PLACEHOLDERS.iter().any(|end| host.rsplit('.').next() == Some(end)))
}

/// Each way once, in the order of the files; `proxy` is that of the settings.
fn ways(rules: &RuleSet, proxy: &ProxyChoice) -> Vec<Way> {
    let is_direct = |choice: &ProxyChoice| match choice {
        ProxyChoice::AsSet => !matches!(proxy, ProxyChoice::Through(_)),
        ProxyChoice::Direct => true,
        ProxyChoice::Through(_) => false,
    };
    let mut ways: Vec<Way> = Vec::new();
    for rule in rules.rules() {
        for (action, call) in rule.actions.iter().filter_map(|action| Some((action, action.call()?))) {
            let token = match &call.auth {
                Some(Auth::OAuth2(oauth2)) => Some(oauth2.token_url.origin()),
                _ => None,
            };
            let own = call.url.origin().filter(|_| is_direct(&action.target.proxy));
            let origins = own.into_iter().chain(token.filter(|_| is_direct(&action.token_proxy)));
            let urls = origins.filter_map(|origin| Url::parse(&origin.ascii_serialization()).ok());
            urls.for_each(|url| add(&mut ways, rule, call, url));
        }
    }
    ways
}

fn add(ways: &mut Vec<Way>, rule: &Rule, call: &Call, url: Url) {
    let destination = Destination { url, egress: call.settings.egress, tls: call.tls.clone() };
    let same = ways.iter_mut().find(|way| way.destination == destination);
    match same {
        Some(way) if way.rules.contains(&rule.name) => {}
        Some(way) => way.rules.push(rule.name.clone()),
        None => {
            ways.push(Way { destination, path: rule.path.clone(), place: call.url_at, rules: vec![rule.name.clone()] })
        }
    }
}

impl Way {
    fn said(&self, what: String) -> Diagnostic {
        Diagnostic { path: self.path.clone(), place: Some(self.place), message: what, line_text: String::new() }
    }

    /// Of a host that may be up later: no reason to stop a deployment.
    fn warning(&self, problem: &str) -> CheckFinding {
        let origin = self.destination.url.origin().ascii_serialization();
        let rules = if self.rules.len() == 1 { "rule" } else { "rules" };
        let said = self.said(format!("{origin} ({rules} {}): {problem}", self.rules.join(", ")));
        let fix = match is_placeholder(&self.destination.url) {
            true => "write the URL of your API in its place",
            false => "correct the URL, or what keeps this machine from the server",
        };
        CheckFinding::at(WARNING, &said, Some(fix.to_string()))
    }

    fn connected(&self, Handshake { protocol, certificate }: &Handshake) -> CheckFinding {
        let origin = self.destination.url.origin().ascii_serialization();
        let Some(ShownCertificate { subject, issuer, days_left }) = certificate else {
            return CheckFinding::ok(format!("{origin}: {protocol}"));
        };
        let days = crate::cli::output::count(*days_left, "day");
        let shown = format!("{origin}: {protocol}, certificate of {subject} from {issuer}, {days} left");
        if *days_left >= DAYS_LEFT_MIN {
            return CheckFinding::ok(shown);
        }
        let fix = "renew the server's certificate; calls fail when it has expired".to_string();
        CheckFinding::at(WARNING, &self.said(shown), Some(fix))
    }
}
