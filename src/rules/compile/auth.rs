//! The key `auth` of a call, and secrets wherever a rule has one.
//!
//! In: their nodes. Out: settings whose secrets were read; or problems at their places. Secrets are strings in which
//! `{{ env.NAME }}` may stand, `{env: NAME}` or `{file: PATH}`; they are read here, once, so that loading the rules again
//! reads them again. No message holds a secret.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use super::super::auth::{Auth, AwsCredentials, ClientStyle, OAuth2, QueryKey};
use super::super::reader::member;
use super::super::yaml::{Key, Node, NodeKind};
use super::Compiler;
use crate::template::{Secret, percent_encode};

const KINDS: [&str; 5] = ["basic", "bearer", "query", "oauth2", "aws"];
const AWS_KEYS: [&str; 5] = ["service", "region", "access_key", "secret_key", "session_token"];
const OAUTH2_KEYS: [&str; 8] =
    ["token_url", "client_id", "client_secret", "scope", "audience", "resource", "params", "style"];
/// Fields of the form that have a key of their own.
const FORM_OWN: [&str; 6] = ["grant_type", "client_id", "client_secret", "scope", "audience", "resource"];

/// Stands for a URL that is not known where nothing is sent (RFC 2606).
const NOWHERE: &str = "http://test.invalid/";

impl Compiler<'_> {
    /// Reads `auth` or `sign`. Its lines may contain secrets: for a problem in it only the place is shown.
    pub(super) fn secretly<T>(
        &mut self,
        node: Option<&Node>,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(node) = node else { return Some(None) };
        let before = self.reader.problems.len();
        let found = read(self, node);
        self.reader.problems[before..].iter_mut().for_each(|problem| problem.line_text.clear());
        found.map(Some)
    }

    pub(super) fn auth(&mut self, node: &Node) -> Option<Auth> {
        let members = self.reader.members(node, "`auth`", &KINDS)?;
        let [(kind, node)] = members else {
            self.reader.problem(node.at, format!("`auth` is exactly one of {}", KINDS.join(", ")));
            return None;
        };
        match kind.text.as_str() {
            "basic" => self.basic(node),
            "bearer" => {
                let token = self.secret(node, "bearer")?;
                Some(Auth::Fixed(Secret::new(&format!("Bearer {}", token.reveal()))))
            }
            "query" => self.query_key(node).map(Auth::Query),
            "oauth2" => self.oauth2(node).map(|oauth2| Auth::OAuth2(Arc::new(oauth2))),
            "aws" => self.aws(node).map(|credentials| Auth::Aws(Arc::new(credentials))),
            _ => None,
        }
    }

    fn basic(&mut self, node: &Node) -> Option<Auth> {
        let members = self.reader.members(node, "`basic`", &["user", "password"])?;
        let (Some(user_node), Some(password)) = (member(members, "user"), member(members, "password")) else {
            self.reader.problem(node.at, "`basic` needs `user` and `password`");
            return None;
        };
        let (user, password) = (self.secret(user_node, "user"), self.secret(password, "password"));
        let (user, password) = (user?, password?);
        if user.reveal().contains(':') {
            self.reader.problem(user_node.at, "a user name can't hold a colon: that is where the password begins");
            return None;
        }
        let pair = STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
        Some(Auth::Fixed(Secret::new(&format!("Basic {pair}"))))
    }

    fn query_key(&mut self, node: &Node) -> Option<QueryKey> {
        let members = self.reader.members(node, "`query`", &["name", "value"])?;
        let (Some(name_node), Some(value)) = (member(members, "name"), member(members, "value")) else {
            self.reader
                .problem(node.at, "`query` needs `name` and `value`, such as {name: api_key, value: {env: KEY}}");
            return None;
        };
        let (name, value) = (self.reader.string(name_node, "name"), self.secret(value, "value"));
        let (name, value) = (name?, value?);
        if name.is_empty() || name.chars().any(char::is_control) || name.contains("{{") {
            self.reader.problem(name_node.at, "`name` is the literal name of a query parameter, such as `api_key`");
            return None;
        }
        let mut encoded = String::new();
        percent_encode(name, &mut encoded);
        Some(QueryKey { name: encoded.into(), value })
    }

    /// A parameter that is there twice means one thing to one server and another to the next.
    pub(super) fn refuse_key_twice(&mut self, key: &QueryKey, url: &Node) {
        let Some(source) = self.reader.string(url, "url") else { return };
        let query = source.split_once('?').map_or("", |(_, query)| query);
        let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        if names.any(|name| name == &*key.name || name == percent_decode_str(&key.name).decode_utf8_lossy()) {
            let message = format!("`auth` puts `{}` into the query, too; leave it out of the URL", key.name);
            self.reader.problem(url.at, message);
        }
    }

    fn aws(&mut self, node: &Node) -> Option<AwsCredentials> {
        let members = self.reader.members(node, "`aws`", &AWS_KEYS)?;
        let get = |name| member(members, name);
        let missing: Vec<&str> = AWS_KEYS[..4].iter().copied().filter(|name| get(name).is_none()).collect();
        if !missing.is_empty() {
            self.reader.problem(node.at, format!("`aws` lacks {}", missing.join(" and ")));
        }
        let service = get("service").and_then(|node| self.aws_word(node, "service", "lambda"));
        let region = get("region").and_then(|node| self.aws_word(node, "region", "eu-central-1"));
        let access_key = get("access_key").and_then(|node| {
            let key = self.secret(node, "access_key")?;
            let is_key = self.outside.is_stand_in(&key) || key.reveal().chars().all(|c| c.is_ascii_alphanumeric());
            if !is_key {
                self.reader.problem(node.at, "`access_key` is the id of an access key: letters and digits");
            }
            is_key.then_some(key)
        });
        let secret_key = get("secret_key").and_then(|node| self.secret(node, "secret_key"));
        let session_token = match get("session_token") {
            Some(node) => self.secret(node, "session_token").map(Some),
            None => Some(None),
        };
        let (service, region) = (service?, region?);
        Some(AwsCredentials {
            service,
            region,
            access_key: access_key?,
            secret_key: secret_key?,
            session_token: session_token?,
        })
    }

    fn aws_word(&mut self, node: &Node, what: &str, example: &str) -> Option<Box<str>> {
        let word = self.secret(node, what)?;
        let is_word = word.reveal().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !is_word {
            let message = format!("`{what}` is small letters, digits and `-`, such as `{example}`");
            self.reader.problem(node.at, message);
        }
        is_word.then(|| word.reveal().into())
    }

    fn oauth2(&mut self, node: &Node) -> Option<OAuth2> {
        let members = self.reader.members(node, "`oauth2`", &OAUTH2_KEYS)?;
        let required = ["token_url", "client_id", "client_secret"];
        let missing: Vec<&str> = required.into_iter().filter(|name| member(members, name).is_none()).collect();
        if !missing.is_empty() {
            self.reader.problem(node.at, format!("`oauth2` lacks {}", missing.join(" and ")));
        }
        let get = |name| member(members, name);
        let token_url = get("token_url").and_then(|node| self.token_url(node));
        let client_id = get("client_id").and_then(|node| self.secret(node, "client_id"));
        let client_secret = get("client_secret").and_then(|node| self.secret(node, "client_secret"));
        let style = get("style").map_or(Some(ClientStyle::Basic), |node| self.client_style(node));
        let mut form = Vec::new();
        for name in ["scope", "audience", "resource"] {
            if let Some(node) = get(name) {
                form.push((name.into(), self.secret(node, name)?));
            }
        }
        if let Some(node) = get("params") {
            self.params(node, &mut form)?;
        }
        let (client_id, client_secret) = (client_id?, client_secret?);
        Some(OAuth2 { token_url: token_url?, client_id, client_secret, style: style?, form })
    }

    fn token_url(&mut self, node: &Node) -> Option<Url> {
        let text = self.secret(node, "token_url")?;
        let url = Url::parse(text.reveal()).ok().filter(|url| {
            let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
            is_http && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
        });
        if url.is_none() && self.outside.is_stand_in(&text) {
            return Url::parse(NOWHERE).ok();
        }
        if url.is_none() {
            let message = "`token_url` must be an http:// or https:// URL without user, password and fragment";
            self.reader.problem(node.at, message);
        }
        url
    }

    fn client_style(&mut self, node: &Node) -> Option<ClientStyle> {
        self.reader.word(node, "style", &[("basic", ClientStyle::Basic), ("body", ClientStyle::Body)])
    }

    fn params(&mut self, node: &Node, form: &mut Vec<(Box<str>, Secret)>) -> Option<()> {
        let NodeKind::Map(members) = &node.kind else {
            let message = format!("`params` must be a map from name to value, not {}", node.describe());
            self.reader.problem(node.at, message);
            return None;
        };
        for (Key { text: name, at }, value) in members {
            if FORM_OWN.contains(&name.as_str()) {
                self.reader
                    .problem(*at, format!("`{name}` has a key of its own beside `params`, or is set by rowhook"));
                return None;
            }
            form.push((name.as_str().into(), self.secret(value, name)?));
        }
        Some(())
    }

    /// A secret in one of its three spellings, fit for a header.
    pub(super) fn secret(&mut self, node: &Node, what: &str) -> Option<Secret> {
        let secret = match &node.kind {
            NodeKind::Map(_) => self.secret_from(node, what)?,
            _ => {
                let source = self.reader.string(node, what)?;
                let compiled = Secret::compile(source, &|name| self.outside.variable(name));
                self.flaws(node, compiled)?
            }
        };
        let problem = match secret.reveal() {
            "" => format!("`{what}` is empty"),
            text if text.chars().any(char::is_control) => {
                format!("`{what}` holds a line break or another control character")
            }
            _ => return Some(secret),
        };
        self.reader.problem(node.at, problem);
        None
    }

    fn secret_from(&mut self, node: &Node, what: &str) -> Option<Secret> {
        let members = self.reader.members(node, &format!("`{what}`"), &["env", "file"])?;
        let [(place, node)] = members else {
            self.reader.problem(node.at, format!("`{what}` is a text, `{{env: NAME}}` or `{{file: PATH}}`"));
            return None;
        };
        let found = match place.text.as_str() {
            "env" => {
                let name = self.reader.string(node, "env")?;
                let missing = || format!("environment variable `{name}` is not set");
                self.outside.variable(name).and_then(|secret| secret.ok_or_else(missing))
            }
            "file" => {
                let path = self.path_of(node, "file")?;
                self.outside.file(&path)
            }
            // It was reported as an unknown key.
            _ => return None,
        };
        found.map_err(|problem| self.reader.problem(node.at, problem)).ok()
    }

    /// A path in a rule; a relative one begins at the folder of the rule file.
    pub(super) fn path_of(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let path = self.reader.string(node, what)?;
        Some(self.reader.path.parent().map_or_else(|| path.into(), |folder| folder.join(path)))
    }
}

#[cfg(test)]
pub(in crate::rules) mod tests;
