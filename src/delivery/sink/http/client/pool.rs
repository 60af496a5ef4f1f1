//! A pool of connections that is replaced by a new one when it has reached its age.
//!
//! In: how to make a pool, and its age. Out: the newest pool, for each call. So no call starts on a connection that is
//! older, and traffic follows a name to its new addresses, however steady it is. A call that is under way keeps the pool it
//! began with, and that pool's connections end with their last call, over HTTP/1.1 and HTTP/2. The next pool is made on a
//! thread that may block: it reads the system's certificate authorities, and meanwhile calls go on with the old one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::cause_text;

/// How long a connection takes new calls. With a call that begins at the end of it and takes as long again (the default
/// timeout of a rule), a connection is a minute old at most.
pub(super) const AGE_MAX: Duration = Duration::from_secs(30);

/// See the module's header; clones are the same pool.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    make: Box<dyn Fn() -> reqwest::Result<reqwest::Client> + Send + Sync>,
    age_max: Duration,
    newest: Mutex<Newest>,
}

struct Newest {
    http: reqwest::Client,
    made_at: Instant,
    /// A task makes the next one.
    is_due: bool,
}

impl Pool {
    /// # Errors
    /// Those of `make`.
    pub fn new(
        age_max: Duration,
        make: impl Fn() -> reqwest::Result<reqwest::Client> + Send + Sync + 'static,
    ) -> reqwest::Result<Pool> {
        let newest = Mutex::new(Newest { http: make()?, made_at: Instant::now(), is_due: false });
        Ok(Pool(Arc::new(Shared { make: Box::new(make), age_max, newest })))
    }

    /// The pool for a call that starts now. Within a tokio runtime.
    pub fn http(&self) -> reqwest::Client {
        let mut newest = self.0.newest();
        if !newest.is_due && newest.made_at.elapsed() >= self.0.age_max {
            newest.is_due = true;
            let shared = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || shared.replace());
        }
        newest.http.clone()
    }
}

impl Shared {
    fn replace(&self) {
        let made = (self.make)();
        let mut newest = self.newest();
        (newest.made_at, newest.is_due) = (Instant::now(), false);
        let old = match made {
            Ok(http) => std::mem::replace(&mut newest.http, http),
            Err(error) => {
                let error = cause_text(&error);
                return tracing::warn!(
                    error,
                    "no new connections to APIs can be set up; calls go on over the old ones"
                );
            }
        };
        drop(newest);
        // Closes the connections that are idle.
        drop(old);
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}
