//! Exchanges whose answer is wanted whole: rowhook's own requests, such as those for tokens.
//!
//! In: a request, the time and the size that the answer may take. Out: status and body, or one plain line without URL and
//! values. Under the same settings as every attempt.

use std::time::Duration;

use reqwest::Request;

use super::error::plain_text;
use super::receive::{read_body, redirect_of};
use super::{Client, Redirect};
use crate::rules::Egress;

/// A whole answer.
#[derive(Debug)]
pub(in crate::delivery) struct Fetched {
    pub status: u16,
    /// In UTF-8, where its head says what it is.
    pub body: Vec<u8>,
    pub redirect: Option<Redirect>,
}

impl Client {
    /// Sends the request and reads the answer to its end.
    ///
    /// # Errors
    /// A line for people: no connection, no whole answer within `timeout`, an answer larger than `bytes_max` or packed in
    /// a way that can't be undone.
    pub(in crate::delivery) async fn fetch(
        &self,
        request: Request,
        egress: Egress,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Fetched, String> {
        let exchange = async {
            let mut response = self.execute(request, egress).await.map_err(|(_, problem)| problem)?;
            let broken = |error| plain_text(&error, true, self.proxy.as_deref());
            let body = read_body(&mut response, bytes_max).await.map_err(broken)?;
            if let Some(problem) = body.problem {
                return Err(format!("the answer can't be read: {problem}"));
            } else if body.is_cut {
                return Err(format!("the answer is larger than {bytes_max} bytes"));
            }
            let status = response.status().as_u16();
            Ok(Fetched { status, body: body.bytes, redirect: redirect_of(&response, status) })
        };
        let late = |_| Err(format!("no answer within {}", humantime::format_duration(timeout)));
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(late)
    }
}
