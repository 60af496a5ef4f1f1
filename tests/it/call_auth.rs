//! Calls that prove who they are: the real program, sending dead letters again to servers that check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use standardwebhooks::Webhook;

use crate::letters::{Letter, fill};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Receiver, Request};

/// A home with letters 1 to `letters` and one rule with these keys of `call`, tried once.
fn home(call: &str, letters: i64) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: r\n    order_by: none\n    retry: {{retries: 0}}\n    call:\n{call}"
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule);
    fill(&home, &(1..=letters).map(|id| Letter::of("r", id)).collect::<Vec<_>>());
    home
}

fn replay(home: &Home) -> Finished {
    home.run(&["dead-letters", "replay", "--all"])
}

#[track_caller]
fn ended(finished: &Finished, last_line: &str) {
    assert!(finished.stdout.ends_with(&format!("{last_line}\n")), "{finished:?}");
    assert!(!format!("{finished:?}").contains("s3cret"), "{finished:?}");
}

/// An authorization server below `/token`, and an API beside it that takes its tokens.
fn servers(server: &AuthorizationServer) -> Receiver {
    let server = server.clone();
    Receiver::start(move |request| match request.path.as_str() {
        "/token" => server.answer(request),
        _ if server.admits(request) => Answer::ok(),
        _ => Answer::status(401),
    })
}

fn oauth2(receiver: &Receiver, more: &str) -> String {
    format!(
        "      url: {}\n      auth:\n        oauth2:\n          token_url: {}\n          client_id: my app\n          \
         client_secret: {{env: CLIENT_SECRET}}\n          scope: orders:write\n{more}",
        receiver.url("/orders"),
        receiver.url("/token")
    )
}

fn server() -> AuthorizationServer {
    AuthorizationServer::new("my app", "s3cret&+/ü", "orders:write", 3600)
}

#[test]
fn many_deliveries_share_one_token_in_both_styles_of_client_authentication() {
    for style in ["basic", "body"] {
        let server = server();
        let receiver = servers(&server);
        let home = home(&oauth2(&receiver, &format!("          style: {style}\n")), 20);
        ended(&replay(&home.with_env("CLIENT_SECRET", "s3cret&+/ü")), "20 delivered, 0 still dead");
        assert_eq!((server.tokens_given(), receiver.count()), (1, 21), "{style}");
    }
}

#[test]
fn a_client_that_is_refused_leaves_letters_that_say_so_and_an_error_in_the_log() {
    let server = server();
    let receiver = servers(&server);
    let home = home(&oauth2(&receiver, ""), 2).with_env("CLIENT_SECRET", "s3cret of last year");
    let finished = replay(&home);
    ended(&finished, "0 delivered, 2 still dead");
    let reason = "the only attempt failed: token request: answered 401 (invalid_client)";
    assert!(finished.stdout.contains(reason), "{finished:?}");
    let logged = finished.stderr.matches("ERROR the authorization server refuses to give a token").count();
    assert_eq!(logged, 1, "{finished:?}");
    let letter = home.run(&["dead-letters", "show", "1", "--json"]).stdout;
    assert!(letter.contains("token request: answered 401 (invalid_client)") && !letter.contains("s3cret"), "{letter}");
    assert!(server.refusals().iter().all(|code| *code == "invalid_client"));
    assert!(receiver.received().iter().all(|request| request.path == "/token"), "the API is not called");
}

#[test]
fn a_token_that_is_revoked_meanwhile_costs_no_delivery() {
    let server = server();
    let (tokens, revoking) = (server.clone(), server.clone());
    let receiver = Receiver::start(move |request| match request.path.as_str() {
        "/token" => tokens.answer(request),
        _ if !tokens.admits(request) => Answer::status(401),
        _ => {
            if request.number == 5 {
                revoking.revoke_all();
            }
            Answer::ok()
        }
    });
    let home = home(&oauth2(&receiver, ""), 10).with_env("CLIENT_SECRET", "s3cret&+/ü");
    ended(&replay(&home), "10 delivered, 0 still dead");
    assert_eq!(server.tokens_given(), 2);
}

#[test]
fn basic_and_bearer_credentials_arrive_and_stay_out_of_dry_runs() {
    let pair = format!("Basic {}", STANDARD.encode("me:s3cret-word"));
    for (auth, expected) in [
        ("{bearer: '{{ env.API_TOKEN }}'}", "Bearer s3cret-word"),
        ("{bearer: {file: ../token}}", "Bearer s3cret-word"),
        ("{basic: {user: me, password: {env: API_TOKEN}}}", &pair),
    ] {
        let expected = expected.to_owned();
        let receiver = Receiver::start(move |request: &Request| {
            Answer::status(if request.header("authorization") == Some(&expected) { 200 } else { 401 })
        });
        let home = home(&format!("      url: {}\n      auth: {auth}\n", receiver.url("/")), 1);
        home.write("token", "s3cret-word\n");
        // Neither in the environment of the program nor in that of a child: in a file that the environment names.
        let file = home.path("token").display().to_string();
        let home = home.with_env("API_TOKEN_FILE", &file);
        let dry = home.run(&["dead-letters", "replay", "--all", "--dry-run"]);
        assert!(dry.stdout.contains("Authorization: ***"), "{dry:?}");
        assert!(!format!("{dry:?}").contains("s3cret") && !format!("{dry:?}").contains(&pair), "{dry:?}");
        ended(&replay(&home), "1 delivered, 0 still dead");
    }
}

#[test]
fn signed_requests_are_taken_by_the_library_of_the_specification() {
    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3";
    let receiver = Receiver::start(|request| {
        let knows = |secret: &str| Webhook::new(secret).unwrap().verify(&request.body, &request.headers).is_ok();
        let other = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBrZXkh";
        let is_id = request.header("webhook-id") == request.key.as_deref();
        Answer::status(if knows(OLD) && knows(NEW) && !knows(other) && is_id { 200 } else { 400 })
    });
    let call = format!("      url: {}\n      sign: {{webhook: ['{NEW}', '{{{{ env.OLD }}}}']}}\n", receiver.url("/"));
    ended(&replay(&home(&call, 3).with_env("OLD", OLD)), "3 delivered, 0 still dead");
}
