//! The servers that rules call: whether their names are known, and with `--connect` whether a connection can be made.
//!
//! In: rules. Out: a finding for each host whose name leads nowhere, and with `--connect` one for each way to a target, with the
//! protocol and the server's certificate. Hosts that rows choose are not asked; names behind a proxy are left to it, and connections go
//! through it. All at the same time; sends no request.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use url::{Host, Url};

use super::finding::{CheckFinding, WARNING};
use crate::delivery::{Destination, Handshake, ShownCertificate};
use crate::rules::{Auth, Call, Diagnostic, FilePlace, ProxyChoice, ProxyServer, Rule, RuleSet};

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
pub(super) async fn names(rules: &RuleSet, proxy: Option<&Arc<ProxyServer>>) -> Vec<CheckFinding> {
    let mut ways = ways(rules, proxy);
    // One look-up for each name, whatever its port.
    let mut seen: Vec<String> = Vec::new();
    ways.retain(|way| match way.destination.url.host() {
        Some(Host::Domain(name)) if way.destination.proxy.is_none() && !seen.contains(&name.to_string()) => {
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
pub(super) async fn connections(rules: &RuleSet, proxy: Option<&Arc<ProxyServer>>) -> Vec<CheckFinding> {
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
fn ways(rules: &RuleSet, proxy: Option<&Arc<ProxyServer>>) -> Vec<Way> {
    let through = |choice: &ProxyChoice| choice.resolved(proxy).cloned();
    let mut ways: Vec<Way> = Vec::new();
    for rule in rules.rules() {
        for (action, call) in rule.actions.iter().filter_map(|action| Some((action, action.call()?))) {
            let token = match &call.auth {
                Some(Auth::OAuth2(oauth2)) => Some(oauth2.token_url.origin()),
                _ => None,
            };
            let own = call.url.origin().map(|origin| (origin, through(&action.target.proxy)));
            let token = token.map(|origin| (origin, through(&action.token_proxy)));
            for (origin, proxy) in own.into_iter().chain(token) {
                if let Ok(url) = Url::parse(&origin.ascii_serialization()) {
                    add(&mut ways, rule, call, url, proxy);
                }
            }
        }
    }
    ways
}

fn add(ways: &mut Vec<Way>, rule: &Rule, call: &Call, url: Url, proxy: Option<Arc<ProxyServer>>) {
    let destination = Destination { url, egress: call.settings.egress, tls: call.tls.clone(), proxy };
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

    /// Where it leads, for a message.
    fn name(&self) -> String {
        let origin = self.destination.url.origin().ascii_serialization();
        match &self.destination.proxy {
            Some(proxy) => format!("{origin} through the proxy {proxy}"),
            None => origin,
        }
    }

    /// Of a host that may be up later: no reason to stop a deployment.
    fn warning(&self, problem: &str) -> CheckFinding {
        let name = self.name();
        let rules = if self.rules.len() == 1 { "rule" } else { "rules" };
        let said = self.said(format!("{name} ({rules} {}): {problem}", self.rules.join(", ")));
        let fix = match is_placeholder(&self.destination.url) {
            true => "write the URL of your API in its place",
            false if self.destination.proxy.is_some() => {
                "correct the URL or the proxy, or let the proxy reach the server"
            }
            false => "correct the URL, or what keeps this machine from the server",
        };
        CheckFinding::at(WARNING, &said, Some(fix.to_string()))
    }

    fn connected(&self, Handshake { protocol, certificate }: &Handshake) -> CheckFinding {
        let name = self.name();
        let Some(ShownCertificate { subject, issuer, days_left }) = certificate else {
            let unknown = if self.destination.proxy.is_some() { ", not tried beyond the proxy" } else { "" };
            return CheckFinding::ok(format!("{name}: {protocol}{unknown}"));
        };
        let days = crate::cli::output::count(*days_left, "day", "days");
        let shown = format!("{name}: {protocol}, certificate of {subject} from {issuer}, {days} left");
        if *days_left >= DAYS_LEFT_MIN {
            return CheckFinding::ok(shown);
        }
        let fix = "renew the server's certificate; calls fail when it has expired".to_string();
        CheckFinding::at(WARNING, &self.said(shown), Some(fix))
    }
}
