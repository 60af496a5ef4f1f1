//! Placeholder of the request stage, so that deliveries can be sent.

use crate::delivery::Delivery;
use crate::rules::Method;

/// One request, rendered.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub method: Method,
    pub url: url::Url,
    pub headers: Vec<(String, String)>,
    pub body: bytes::Bytes,
}

/// The placeholder takes the URL from the rule's path; a rule whose path is no URL cannot be rendered.
pub fn prepare(delivery: &Delivery) -> Result<Prepared, String> {
    let url = delivery.rule.path.to_str().unwrap_or_default();
    Ok(Prepared {
        method: delivery.rule.call.method,
        url: url::Url::parse(url).map_err(|error| format!("url: {error}"))?,
        headers: vec![
            ("Idempotency-Key".to_owned(), delivery.id.to_string()),
            ("Content-Type".to_owned(), "application/json".to_owned()),
        ],
        body: bytes::Bytes::from_static(b"{}"),
    })
}
