//! A change on its whole way to a server that checks everything: TLS with a client certificate, HTTP/2, a token, a
//! signature, a CloudEvent; through a failure of the authorization server, one of the API, and a token that is revoked.

use std::time::Duration;

use cloudevents::AttributesReader as _;
use cloudevents::binding::http::to_event;
use hyper::Version;
use standardwebhooks::Webhook;

use crate::support::authorization_server::AuthorizationServer;
use crate::support::mysql::MysqlServer;
use crate::support::program::Home;
use crate::support::receiver::{Answer, Authority, Receiver, Tls};

const DEADLINE: Duration = Duration::from_secs(60);
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_a_server_that_checks_everything_through_failures_on_the_way() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY, note VARCHAR(40))")).await;

    let tokens = AuthorizationServer::new("rowhook", "s3cret", "jobs", 3600);
    let asked = tokens.clone();
    let authority = Authority::new("ours");
    let tls = Tls::demanding(&authority.issue(&["127.0.0.1"]), &authority);
    let receiver = Receiver::start_tls(tls, move |request| match (request.path.as_str(), request.attempt) {
        // The authorization server is unavailable at first.
        ("/token", 1) => Answer::status(503),
        ("/token", _) => asked.answer(request),
        // The API fails once, and forgets all tokens with it.
        ("/jobs", 1) => {
            asked.revoke_all();
            Answer::status(500)
        }
        _ if asked.admits(request) => Answer::ok(),
        _ => Answer::status(401),
    });
    let rule = format!(
        "table: {database}.jobs\nrules:\n  - name: jobs\n    retry: {{initial: 20ms, jitter: 0}}\n    call:\n      \
         url: {}\n      format: cloudevents\n      sign: {{webhook: {WEBHOOK_SECRET}}}\n      \
         tls: {{ca: ../ca.pem, cert: ../client.pem, key: ../client.key}}\n      auth:\n        oauth2:\n          \
         token_url: {}\n          client_id: rowhook\n          client_secret: {{env: SECRET}}\n          scope: jobs\n",
        receiver.url("/jobs"),
        receiver.url("/token")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("SECRET", "s3cret").with_rule("jobs.yaml", &rule);
    let client = authority.issue(&["rowhook"]);
    home.write("ca.pem", authority.pem());
    home.write("client.pem", &client.cert_pem);
    home.write("client.key", &client.key_pem);
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off", "--log", "debug"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.jobs VALUES (7, 'a note')")).await;
    program.wait_for_line("delivered", DEADLINE);

    let requests = receiver.received();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    // No token; a token and 500; the revoked token and, in the same attempt, a new one.
    assert_eq!(paths, ["/token", "/token", "/jobs", "/jobs", "/token", "/jobs"]);
    assert!(requests.iter().all(|request| request.version == Version::HTTP_2));
    for request in requests.iter().filter(|request| request.path == "/jobs") {
        Webhook::new(WEBHOOK_SECRET).unwrap().verify(&request.body, &request.headers).unwrap();
        let event = to_event(&request.headers, request.body.to_vec()).unwrap();
        assert_eq!((event.ty(), event.subject()), (&*format!("rowhook.{database}.jobs.insert"), Some("7")));
        assert_eq!(Some(event.id()), request.key.as_deref());
        assert_eq!(request.json()["after"]["note"], "a note");
    }
    let lines = program.lines().join("\n");
    assert!(lines.contains("token request: answered 503"), "{lines}");
    assert!(!lines.contains("s3cret") && !lines.contains("a note"), "{lines}");
}
