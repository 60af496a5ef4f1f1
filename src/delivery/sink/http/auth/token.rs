//! A token that rules with the same settings share: kept, renewed ahead of its end, asked for by one at a time.
//!
//! In: who wants a token. Out: one that is valid as far as is known, or a line that says why there is none. Owns the token
//! (in memory only). While one asks, the others wait for the same answer; while it is only renewed ahead of its end, they go
//! on with the old one. A failure is logged once, until a token is got again.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::super::client::Client;
use super::super::recent::Recent;
use super::token_request;
use crate::rules::{Egress, OAuth2, TargetTls};
use crate::template::Secret;

/// Tokens of so many distinct settings are kept; far above what rule files hold.
const TOKENS_MAX: usize = 256;

/// After a renewal ahead of the end has failed, the old token serves this long before the next try.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// Longer than any attempt should need the token for, so that it does not end under way.
const MARGIN: Duration = Duration::from_secs(30);

/// What tells tokens apart: where they come from and over what connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::delivery) struct TokenKey {
    pub settings: Arc<OAuth2>,
    pub tls: Option<Arc<TargetTls>>,
    pub egress: Egress,
}

/// A token to be sent.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct AccessToken {
    pub text: Secret,
    /// It was got for this very request: a server that refuses it would refuse the next one, too.
    pub is_new: bool,
    number: u64,
}

/// The tokens of all settings.
#[derive(Debug)]
pub(in crate::delivery) struct Tokens {
    slots: Mutex<Recent<TokenKey, Arc<TokenSlot>>>,
}

/// The token of one key; what is in it is shared by all who have the slot.
#[derive(Debug)]
pub(in crate::delivery) struct TokenSlot {
    key: TokenKey,
    state: Mutex<State>,
    /// Locked by the task that asks for a token.
    turn: Turn<()>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Kept>,
    /// How many requests for a token have ended; numbers the tokens as well.
    asked: u64,
    /// Why the last request for a token failed.
    failure: Option<String>,
    /// No renewal ahead of the end before this.
    renew_not_before: Option<Instant>,
}

#[derive(Debug)]
struct Kept {
    text: Secret,
    number: u64,
    renew_at: Instant,
    ends_at: Instant,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens { slots: Mutex::new(Recent::new(TOKENS_MAX)) }
    }
}

impl Tokens {
    /// Where the token of this key is kept, the same for all who ask.
    pub fn slot(&self, key: TokenKey) -> Arc<TokenSlot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(slot) = slots.get(&key, || Ok::<_, Infallible>(Arc::new(TokenSlot::new(key.clone()))));
        slot
    }
}

impl TokenSlot {
    pub fn new(key: TokenKey) -> TokenSlot {
        TokenSlot { key, state: Mutex::default(), turn: Turn::new(()) }
    }

    /// A token that has not ended.
    ///
    /// # Errors
    /// A line for people, without anything that the authorization server wrote.
    pub async fn token(&self, client: &Client) -> Result<AccessToken, String> {
        let (valid, asked) = {
            let state = self.state();
            (state.valid(), state.asked)
        };
        let Some((token, is_due)) = valid else { return self.ask(asked, client).await };
        // Another task may be renewing it right now.
        if is_due
            && let Ok(_turn) = self.turn.try_lock()
            && let Ok(renewed) = self.request(client).await
        {
            return Ok(renewed);
        }
        Ok(token)
    }

    /// Another token than this one, which the API refused.
    ///
    /// # Errors
    /// As [`token`](TokenSlot::token).
    pub async fn replace(&self, refused: &AccessToken, client: &Client) -> Result<AccessToken, String> {
        let asked = {
            let mut state = self.state();
            if state.token.as_ref().is_some_and(|kept| kept.number == refused.number) {
                state.token = None;
            }
            state.asked
        };
        self.ask(asked, client).await
    }

    /// Waits for the turn; the task that had it before may have brought the answer, be it good or bad.
    async fn ask(&self, asked: u64, client: &Client) -> Result<AccessToken, String> {
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if let Some((token, _)) = state.valid() {
                return Ok(token);
            }
            if state.asked != asked
                && let Some(failure) = &state.failure
            {
                return Err(failure.clone());
            }
        }
        self.request(client).await
    }

    /// Only with the turn.
    async fn request(&self, client: &Client) -> Result<AccessToken, String> {
        let result = token_request::send(&self.key.settings, self.key.egress, client).await;
        let now = Instant::now();
        let mut state = self.state();
        state.asked += 1;
        match result {
            Ok(granted) => {
                if state.failure.take().is_some() {
                    tracing::info!(token_url = self.token_host(), "the authorization server gives tokens again");
                }
                let number = state.asked;
                let (renew_at, ends_at) = (now + renewal(granted.life), now + granted.life);
                state.token = Some(Kept { text: granted.text.clone(), number, renew_at, ends_at });
                state.renew_not_before = None;
                Ok(AccessToken { text: granted.text, is_new: true, number })
            }
            Err(failure) => {
                if state.failure.is_none() {
                    self.log(&failure);
                }
                state.failure = Some(failure.message.clone());
                state.renew_not_before = Some(now + RENEWAL_PAUSE);
                Err(failure.message)
            }
        }
    }

    fn log(&self, failure: &token_request::TokenFailure) {
        let (token_url, error) = (self.token_host(), &failure.message);
        if failure.is_refusal {
            tracing::error!(
                token_url,
                error,
                "the authorization server refuses to give a token: fix `auth` of the rules, then reload"
            );
        } else {
            tracing::warn!(token_url, error, "the authorization server gives no token; deliveries are retried");
        }
    }

    /// Without path and query, which may come from the environment.
    fn token_host(&self) -> String {
        self.key.settings.token_url.origin().ascii_serialization()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The token, and whether it is time to renew it.
    fn valid(&self) -> Option<(AccessToken, bool)> {
        let now = Instant::now();
        let kept = self.token.as_ref().filter(|kept| kept.ends_at > now)?;
        let is_due = kept.renew_at <= now && self.renew_not_before.is_none_or(|pause_ends| pause_ends <= now);
        Some((AccessToken { text: kept.text.clone(), is_new: false, number: kept.number }, is_due))
    }
}

/// When a token of this life is renewed: after 80 % of it, earlier where that leaves less than 30 s, but not in its first
/// half.
fn renewal(life: Duration) -> Duration {
    life.mul_f64(0.8).min(life.saturating_sub(MARGIN).max(life / 2))
}

#[cfg(test)]
mod tests;
