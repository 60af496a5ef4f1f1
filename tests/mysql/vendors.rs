//! The cookbook against the libraries of the vendors: its rule files as they are, run against a real server. The calls keep their real hosts
//! and TLS, because a proxy leads all of them to the APIs of `tests/support/vendors`, which compare each request with what the vendor's own
//! client sends for the same call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Params, Value as Cell};
use serde_json::Value;

use crate::support::fetched::fetched;
use crate::support::mysql::MysqlServer;
use crate::support::program::Home;
use crate::support::proxy::{Forward, Proxy};
use crate::support::receiver::Authority;

/// Far above the ten seconds that the rule for Cloudflare gathers changes.
const DEADLINE: Duration = Duration::from_secs(60);

/// The hosts of the rules, and the one of the servers to which the vendors' clients send.
const HOSTS: [&str; 16] = [
    "0123456789abcdef.lambda-url.eu-central-1.on.aws",
    "api.cloudflare.com",
    "api.hubapi.com",
    "api.sendgrid.com",
    "api.stripe.com",
    "api.twilio.com",
    "erp.internal",
    "events.eu-central-1.amazonaws.com",
    "events.internal",
    "events.pagerduty.com",
    "example-shop.myshopify.com",
    "localhost",
    "meili.internal",
    "paperless.internal",
    "search.internal",
    "slack.com",
];

/// What the rules and the clients read. Two of them have a form.
const SECRETS: [(&str, &str); 17] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ("CLOUDFLARE_TOKEN", "cloudflare"),
    ("ELASTIC_PASSWORD", "elastic:ü"),
    ("ERP_PASSWORD", "erp"),
    ("HUBSPOT_TOKEN", "hubspot"),
    ("MEILI_API_KEY", "meili"),
    ("OPENSEARCH_PASSWORD", "opensearch"),
    ("OUTBOX_SIGNING_SECRET", "whsec_dHJ5LW91dC1rZXktbm90LWEtc2VjcmV0LWF0LWFsbA=="),
    ("PAGERDUTY_ROUTING_KEY", "pagerduty"),
    ("PAPERLESS_TOKEN", "paperless"),
    ("SENDGRID_API_KEY", "SG.sendgrid"),
    ("SHOPIFY_ACCESS_TOKEN", "shopify"),
    ("SLACK_BOT_TOKEN", "xoxb-slack"),
    ("STRIPE_SECRET_KEY", "sk_test_stripe"),
    ("TWILIO_API_KEY", "SK_twilio"),
    ("TWILIO_API_SECRET", "twilio"),
];

/// Jobs that call services of one's own.
const WITHOUT_VENDOR: [&str; 2] = ["digest", "saga"];

/// The APIs, in Node; they end with this value.
struct Apis {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Apis {
    fn start(home: &Path) -> Apis {
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/vendors/main.mjs"))
            .arg(fetched("get-vendors.sh"))
            .arg(home)
            .env("NODE_EXTRA_CA_CERTS", home.join("ca.pem"))
            .envs(SECRETS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Apis { process, lines }
    }

    fn line(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("a line");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Of each job: what is wrong with its requests, if anything is.
    fn judged(mut self) -> BTreeMap<String, Option<String>> {
        self.process.stdin = None;
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        std::iter::from_fn(|| self.line())
            .filter_map(|line| Some((text(&line["job"])?, text(&line["error"]))))
            .collect()
    }
}

impl Drop for Apis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The jobs with a vendor, and their folders.
fn jobs() -> BTreeMap<String, PathBuf> {
    let cookbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookbook");
    let entries = fs::read_dir(cookbook).expect("the cookbook").map(|entry| entry.expect("an entry").path());
    let folders = entries.filter(|path| path.is_dir());
    let named = folders.map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path));
    named.filter(|(name, _)| !WITHOUT_VENDOR.contains(&name.as_str())).collect()
}

/// The statements that create the tables of the fixtures of a job.
fn tables(schema: &str) -> BTreeSet<String> {
    let tables = schema.split("\n  shop.").skip(1).map(|table| {
        let (name, table) = table.split_once(':').expect("a table");
        let columns = table.lines().filter_map(|line| line.strip_prefix("      "));
        let columns: Vec<String> = columns.map(|column| column.replacen(':', "", 1)).collect();
        let key = table.split_once("primary_key: [").and_then(|(_, key)| key.split_once(']')).expect("a key").0;
        format!("CREATE TABLE shop.{name} ({}, PRIMARY KEY ({key}))", columns.join(", "))
    });
    tables.collect()
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::NULL,
        Value::Number(number) => Cell::Int(number.as_i64().expect("a whole number")),
        text => Cell::Bytes(text.as_str().expect("a text").into()),
    }
}

/// The rule files of the jobs, and the certificates, in one home.
fn home(jobs: &BTreeMap<String, PathBuf>, proxy: &Proxy) -> Home {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"));
    for (name, folder) in jobs {
        let file = format!("{name}.yaml");
        fs::copy(folder.join(&file), home.path("rules").join(&file)).expect("a rule file");
    }
    let authority = Authority::new("ours");
    let identity = authority.issue(&HOSTS);
    for (file, pem) in [("ca.pem", authority.pem()), ("cert.pem", &identity.cert_pem), ("key.pem", &identity.key_pem)] {
        home.write(file, pem);
    }
    let ca = home.path("ca.pem").to_string_lossy().into_owned();
    let proxy = format!("http://{}", proxy.authority());
    let secrets = SECRETS.iter().fold(home, |home, (name, value)| home.with_env(name, value));
    secrets.with_env("SSL_CERT_FILE", &ca).with_env("ROWHOOK_PROXY", &proxy)
}

/// Waits until no delivery is left.
fn wait_until_idle(home: &Home) {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let status: Value = serde_json::from_str(&home.run(&["status", "--json"]).stdout).expect("JSON");
        let rules = status["rules"].as_array().expect("a list");
        if rules.iter().all(|rule| rule["unresolved"] == 0) {
            return;
        }
        assert!(Instant::now() < give_up_at, "{status:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookbook_sends_what_the_vendors_own_clients_send() {
    let server = MysqlServer::start(&[]);
    let jobs = jobs();
    let schemas = jobs.values().map(|folder| fs::read_to_string(folder.join("tests/schema.yaml")).expect("a schema"));
    let tables: BTreeSet<String> = schemas.flat_map(|schema| tables(&schema)).collect();
    server.query("CREATE DATABASE shop").await;
    server.query(&Vec::from_iter(tables).join(";")).await;

    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let of_proxy = port.clone();
    let proxy = Proxy::start(move |_| Forward::To(*of_proxy.get().expect("the APIs are there")));
    let home = home(&jobs, &proxy);
    let mut apis = Apis::start(home.path("ca.pem").parent().expect("a folder"));
    let first = apis.line().expect("the APIs start");
    port.set(first["port"].as_u64().expect("a port") as u16).expect("set once");
    let url = server.root_url();
    let mut program = home.start(&["run", "--mysql", &url, "--write-url", &url, "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);

    let mut conn = server.conn().await;
    // One transaction, so that the batches, and what is merged, don't depend on the time that the statements take.
    conn.query_drop("SET time_zone = '+00:00'; BEGIN").await.expect("a transaction");
    for statement in first["statements"].as_array().expect("a list") {
        let values: Vec<Cell> = statement[1].as_array().expect("values").iter().map(cell).collect();
        let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let sql = statement[0].as_str().expect("a statement");
        conn.exec_drop(sql, params).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
    conn.query_drop("COMMIT").await.expect("a commit");
    conn.disconnect().await.expect("closing a connection");

    let has_all = apis.line().expect("a line")["arrived"] == true;
    if has_all {
        wait_until_idle(&home);
    }
    let letters = home.run(&["dead-letters", "list"]).stdout;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let judged = apis.judged();
    let wrong: Vec<String> =
        judged.iter().filter_map(|(job, error)| Some(format!("{job}: {}", error.as_ref()?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(letters, "no dead letters\n");
    assert!(judged.keys().eq(jobs.keys()), "{judged:?}");
    let rows = "SELECT (SELECT COUNT(*) FROM shop.outbox), (SELECT invoice_item FROM shop.usage_charges)";
    assert_eq!(server.rows::<(u32, String)>(rows).await, [(0, "ii_1".to_owned())]);
}
