//! Proxies between rowhook and the APIs: HTTP proxies that take CONNECT.
//!
//! In: what a setting or a target says. Out: which proxy a call goes through. Plain data, with the password masked in
//! `Debug`. Deliberately knows nothing of the environment's `HTTP_PROXY`: a proxy sees where calls go, so it is named.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::template::Secret;

/// One HTTP proxy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyServer {
    /// Without user and password.
    url: Url,
    /// The user; the password, and both as the proxy gets them (RFC 7617).
    login: Option<(Secret, [Secret; 2])>,
}

impl ProxyServer {
    /// Reads `http://user:password@host:port`.
    ///
    /// # Errors
    /// What is expected instead, without the text itself, which may hold a password.
    pub fn parse(text: &str) -> Result<ProxyServer, &'static str> {
        const EXPECTED: &str = "a proxy is written `http://host:port` or `http://user:password@host:port`";
        let mut url = Url::parse(text).map_err(|_| EXPECTED)?;
        if ["https", "socks4", "socks5", "socks5h"].contains(&url.scheme()) {
            return Err("a proxy is reached over http:// only, which is the way to it and not what goes through it; \
                        write `http://host:port`");
        }
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !url.has_host() || !is_bare {
            return Err(EXPECTED);
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| Secret::new(&text));
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let both = decoded(user).and_then(|user| Ok((user, decoded(password.unwrap_or_default())?)));
                Some(both.map_err(|_| EXPECTED)?)
            }
        };
        // Both can be set to nothing in every URL with a host.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(ProxyServer::new(url, login))
    }

    fn new(url: Url, login: Option<(Secret, Secret)>) -> ProxyServer {
        let login = login.map(|(user, password)| {
            let encoded = STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
            (user, [password, Secret::new(&encoded)])
        });
        ProxyServer { url, login }
    }

    /// The same with another password.
    ///
    /// # Errors
    /// What is missing: the user that the password is for.
    pub fn with_password(self, password: Secret) -> Result<ProxyServer, &'static str> {
        match self.login {
            Some((user, _)) if !user.reveal().is_empty() => Ok(ProxyServer::new(self.url, Some((user, password)))),
            _ => Err("the password is for a user, who is named in the proxy's URL: `http://user@host:port`"),
        }
    }

    /// Where it is, without user and password.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// User and password.
    pub fn login(&self) -> Option<(&Secret, &Secret)> {
        self.login.as_ref().map(|(user, [password, _])| (user, password))
    }

    /// The login as the proxy gets it: the value of `Proxy-Authorization` (RFC 7617).
    pub fn authorization(&self) -> Option<Secret> {
        let (_, [_, encoded]) = self.login.as_ref()?;
        Some(Secret::new(&format!("Basic {}", encoded.reveal())))
    }

    /// What no answer may repeat into what is shown or stored: the password, and the login as the proxy gets it.
    pub fn credentials(&self) -> &[Secret] {
        self.login.as_ref().map_or(&[], |(_, credentials)| credentials)
    }
}

impl fmt::Display for ProxyServer {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url.origin().ascii_serialization())
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Which way calls of a target go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// As the settings of the process say for all targets.
    #[default]
    AsSet,
    /// `proxy: none`.
    Direct,
    Through(Arc<ProxyServer>),
}

impl ProxyChoice {
    /// The proxy that such calls go through; `as_set` is that of the settings.
    pub fn resolved<'p>(&'p self, as_set: Option<&'p Arc<ProxyServer>>) -> Option<&'p Arc<ProxyServer>> {
        match self {
            ProxyChoice::AsSet => as_set,
            ProxyChoice::Direct => None,
            ProxyChoice::Through(proxy) => Some(proxy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_a_port_and_perhaps_a_login() {
        let plain = ProxyServer::parse("http://proxy.internal:3128").unwrap();
        assert_eq!((plain.url().as_str(), plain.login()), ("http://proxy.internal:3128/", None));
        let full = ProxyServer::parse("http://me:s3%40cret@[::1]:8080/").unwrap();
        let (user, password) = full.login().unwrap();
        assert_eq!((user.reveal(), password.reveal()), ("me", "s3@cret"));
        let credentials = full.credentials();
        let credentials: Vec<&str> = credentials.iter().map(Secret::reveal).collect();
        assert_eq!((credentials, plain.credentials().len()), (vec!["s3@cret", "bWU6czNAY3JldA=="], 0));
        assert_eq!((full.url().as_str(), full.to_string()), ("http://[::1]:8080/", "http://[::1]:8080".to_owned()));
        assert!(!format!("{full:?} {full}").contains("s3") && !format!("{full:?}").contains("me"));
        let other =
            ProxyServer::parse("http://me:other@proxy").unwrap().with_password(Secret::new("s3/cret@")).unwrap();
        assert_eq!(other.login().map(|(user, password)| (user.reveal(), password.reveal())), Some(("me", "s3/cret@")));
        let credentials: Vec<&str> = other.credentials().iter().map(Secret::reveal).collect();
        assert_eq!(credentials, ["s3/cret@", "bWU6czMvY3JldEA="]);
        assert!(plain.with_password(Secret::new("s3cret")).unwrap_err().contains("`http://user@host:port`"));
        for (text, expected) in [
            ("proxy:3128", "is written `http://host:port`"),
            ("s3cret", "is written"),
            ("https://me:s3cret@proxy:3128", "over http:// only"),
            ("socks5://proxy", "over http:// only"),
            ("http://proxy/path", "is written"),
            ("http://proxy?s3cret", "is written"),
            ("http://me:%ff@proxy", "is written"),
        ] {
            let problem = ProxyServer::parse(text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("s3cret"), "{text}: {problem}");
        }
    }
}
