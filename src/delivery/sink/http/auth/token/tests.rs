//! Tokens shared by many: one request at a time, renewal ahead of the end, failures.

use futures_util::future::join_all;

use super::*;
use crate::delivery::testing::{Api, Reply, SeenRequest, answer};
use crate::rules::ClientStyle;

/// An authorization server that gives `t1`, `t2` and so on, or answers as the test says.
async fn server(script: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static) -> Api {
    Api::start(move |seen: &SeenRequest| {
        let number = seen.attempt;
        script(number).unwrap_or_else(|| {
            let token = format!(r#"{{"access_token":"t{number}","token_type":"Bearer","expires_in":3600}}"#);
            answer(200, &[("Cache-Control", "no-store")], &token)
        })
    })
    .await
}

fn slot(api: &Api) -> TokenSlot {
    let settings = OAuth2 {
        token_url: api.url().parse().unwrap(),
        client_id: Secret::new("id"),
        client_secret: Secret::new("s3cret"),
        style: ClientStyle::Basic,
        form: vec![],
    };
    TokenSlot::new(TokenKey { settings: Arc::new(settings), tls: None, egress: Egress::PrivateToo })
}

fn texts(tokens: &[Result<AccessToken, String>]) -> Vec<&str> {
    tokens.iter().map(|token| token.as_ref().map_or_else(|error| error.as_str(), |token| token.text.reveal())).collect()
}

/// As if so much of the token's life had gone that it must be renewed.
fn age(slot: &TokenSlot) {
    slot.state().token.as_mut().unwrap().renew_at = Instant::now();
}

#[tokio::test]
async fn all_who_want_a_token_at_once_share_one_request() {
    let api = server(|_| None).await;
    let (slot, client) = (slot(&api), Client::new().unwrap());
    let tokens = join_all((0..20).map(|_| slot.token(&client))).await;
    assert_eq!(texts(&tokens), ["t1"; 20]);
    assert_eq!(tokens.iter().filter(|token| token.as_ref().unwrap().is_new).count(), 1);
    assert_eq!(slot.token(&client).await.unwrap().text.reveal(), "t1");
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn all_who_wait_for_a_request_that_fails_share_its_failure_and_the_next_one_asks_again() {
    let api = server(|number| (number == 1).then_some(Reply::Status(503))).await;
    let (slot, client) = (slot(&api), Client::new().unwrap());
    assert_eq!(texts(&join_all((0..20).map(|_| slot.token(&client))).await), ["answered 503"; 20]);
    assert_eq!(api.seen().len(), 1);
    assert_eq!(slot.token(&client).await.unwrap().text.reveal(), "t2");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_by_one_while_the_others_go_on_with_the_old_one() {
    let api = server(|_| None).await;
    let (slot, client) = (slot(&api), Client::new().unwrap());
    slot.token(&client).await.unwrap();
    age(&slot);
    let tokens = join_all((0..3).map(|_| slot.token(&client))).await;
    assert_eq!(texts(&tokens), ["t2", "t1", "t1"]);
    assert_eq!(slot.token(&client).await.unwrap().text.reveal(), "t2");
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_old_token_in_use_and_is_not_tried_again_at_once() {
    let api = server(|number| (number == 2).then_some(Reply::Status(503))).await;
    let (slot, client) = (slot(&api), Client::new().unwrap());
    slot.token(&client).await.unwrap();
    age(&slot);
    for _ in 0..3 {
        assert_eq!(slot.token(&client).await.unwrap().text.reveal(), "t1");
    }
    assert_eq!(api.seen().len(), 2);
    slot.state().renew_not_before = Some(Instant::now());
    assert_eq!(slot.token(&client).await.unwrap().text.reveal(), "t3");
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_used_any_more() {
    let api = server(|number| (number == 2).then_some(Reply::Status(503))).await;
    let (slot, client) = (slot(&api), Client::new().unwrap());
    slot.token(&client).await.unwrap();
    slot.state().token.as_mut().unwrap().ends_at = Instant::now();
    assert_eq!(slot.token(&client).await.unwrap_err(), "answered 503");
    assert_eq!(slot.token(&client).await.unwrap().text.reveal(), "t3");
}

#[tokio::test]
async fn a_token_that_was_refused_is_replaced_once_for_all_who_had_it() {
    let api = server(|_| None).await;
    let (slot, client) = (slot(&api), Client::new().unwrap());
    let old = slot.token(&client).await.unwrap();
    let tokens = join_all((0..5).map(|_| slot.replace(&old, &client))).await;
    assert_eq!(texts(&tokens), ["t2"; 5]);
    // A request that comes late with the old token does not discard the new one.
    assert_eq!(slot.replace(&old, &client).await.unwrap().text.reveal(), "t2");
    assert_eq!(api.seen().len(), 2);
}

#[test]
fn a_token_is_renewed_at_four_fifths_of_its_life_with_half_a_minute_to_spare() {
    for (life_s, expected_s) in [(3600, 2880), (300, 240), (150, 120), (100, 70), (60, 30), (40, 20), (10, 5), (0, 0)] {
        assert_eq!(renewal(Duration::from_secs(life_s)), Duration::from_secs(expected_s), "{life_s}");
    }
}
