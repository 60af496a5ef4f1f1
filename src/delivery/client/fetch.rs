//! Exchanges whose answer is wanted whole: rowhook's own requests, such as those for tokens.
//!
//! In: a request, the time and the size that the answer may take. Out: status and body, or one plain line without URL and
//! values. Under the same settings as every attempt.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::Request;

use super::Client;
use super::error::plain_text;
use crate::rules::Egress;

impl Client {
    /// Sends the request and reads the answer to its end.
    ///
    /// # Errors
    /// A line for people: no connection, no whole answer within `timeout`, an answer larger than `bytes_max`.
    pub(in crate::delivery) async fn fetch(
        &self,
        request: Request,
        egress: Egress,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<(u16, BytesMut), String> {
        let exchange = async {
            let mut response = self.http(egress).execute(request).await.map_err(|error| plain_text(&error, false))?;
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| plain_text(&error, true))? {
                if body.len() + chunk.len() > bytes_max {
                    return Err(format!("the answer is larger than {bytes_max} bytes"));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status().as_u16(), body))
        };
        let late = |_| Err(format!("no answer within {}", humantime::format_duration(timeout)));
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(late)
    }
}
