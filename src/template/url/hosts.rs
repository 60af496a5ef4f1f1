//! The hosts that row values may choose: the patterns of `allow_hosts`.
//!
//! In: patterns from a rule file; then parsed URLs. Out: whether a pattern names the URL's host, in its normal form (lower
//! case, IDNA, addresses as addresses), with its port. Which addresses a name leads to is checked when it is resolved, not
//! here.

use url::{Host, Url};

/// DNS's own limits.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The patterns of one rule.
#[derive(Debug, Clone)]
pub struct AllowedHosts {
    patterns: Vec<HostPattern>,
    /// Where the list stands, for messages.
    place: Box<str>,
}

/// One pattern: `host`, `*.domain` or `*`, perhaps with a scheme before and a port after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    scheme: Option<&'static str>,
    names: Names,
    /// None: the scheme's own.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    /// Any name of at least two labels.
    Any,
    /// Every name below this domain, at any depth, but not the domain itself.
    Below(String),
    Exactly(Host<String>),
}

impl HostPattern {
    /// Reads a pattern; the error is for people.
    pub fn parse(text: &str) -> Result<HostPattern, String> {
        let wrong = || {
            format!(
                "`{text}` is no pattern of hosts; write `hooks.example.com`, `*.example.com` or `*`, with `:port` where \
                 it is not the scheme's own"
            )
        };
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Some("https"), rest),
            Some(("http", rest)) => (Some("http"), rest),
            Some(_) => return Err(wrong()),
            None => (None, text),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(read_port(port).ok_or_else(wrong)?)),
            _ => (rest, None),
        };
        let names = match host.strip_prefix("*.") {
            _ if host == "*" => Names::Any,
            Some(domain) => match read_host(domain) {
                Some(Host::Domain(domain)) => Names::Below(domain),
                _ => return Err(wrong()),
            },
            None => Names::Exactly(read_host(host).ok_or_else(wrong)?),
        };
        Ok(HostPattern { scheme, names, port })
    }

    fn allows(&self, url: &Url, scheme: Scheme) -> bool {
        let scheme_fits = match self.scheme {
            Some(own) => own == url.scheme(),
            None => scheme == Scheme::Literal || url.scheme() == "https",
        };
        let port_fits = match self.port {
            // The parser leaves out the scheme's own port.
            None => url.port().is_none(),
            own => own == url.port_or_known_default(),
        };
        let Some(host) = url.host() else { return false };
        let host_fits = match (&self.names, &host) {
            (Names::Any, Host::Domain(name)) => name.contains('.'),
            (Names::Below(domain), Host::Domain(name)) => name
                .strip_suffix(&**domain)
                .and_then(|below| below.strip_suffix('.'))
                .is_some_and(|own| !own.is_empty()),
            (Names::Exactly(own), _) => *own == host.to_owned(),
            _ => false,
        };
        scheme_fits && port_fits && host_fits
    }
}

/// Who said which scheme a URL has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The rule.
    Literal,
    /// The row; plain `http` then needs a pattern that says so.
    Chosen,
}

impl AllowedHosts {
    /// `place` says where the list stands, for messages.
    pub fn new(patterns: Vec<HostPattern>, place: impl Into<Box<str>>) -> AllowedHosts {
        AllowedHosts { patterns, place: place.into() }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether one of the patterns names the URL's host, port and scheme.
    pub(super) fn allow(&self, url: &Url, scheme: Scheme) -> bool {
        let well_formed = !matches!(url.host(), Some(Host::Domain(name)) if !is_plain_name(name));
        well_formed && self.patterns.iter().any(|pattern| pattern.allows(url, scheme))
    }
}

/// Labels of letters, digits, `-` and `_`, neither empty nor longer than DNS takes; so without a dot at the end, which
/// would be another spelling of the same name.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    name.len() <= HOST_BYTES_MAX
        && name.split('.').all(|label| (1..=LABEL_BYTES_MAX).contains(&label.len()) && plain(label))
}

/// A host in its normal form; none where the text is another spelling of an address or no host at all.
fn read_host(text: &str) -> Option<Host<String>> {
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if !text.chars().all(plain) {
        return None;
    }
    match Host::parse(text).ok()? {
        Host::Domain(name) => is_plain_name(&name).then_some(Host::Domain(name)),
        address => (address.to_string() == text.to_ascii_lowercase()).then_some(address),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, url: &str, scheme: Scheme) -> bool {
        let pattern = HostPattern::parse(pattern).unwrap_or_else(|message| panic!("{message}"));
        AllowedHosts::new(vec![pattern], "f.yaml:1:1").allow(&Url::parse(url).expect(url), scheme)
    }

    #[test]
    fn a_pattern_names_its_hosts_and_no_other() {
        for (pattern, url, expected) in [
            ("hooks.example.com", "https://hooks.example.com/a", true),
            ("HOOKS.Example.com", "https://hooks.EXAMPLE.com/a", true),
            ("hooks.example.com", "https://hooks.example.com:443/", true),
            ("hooks.example.com", "https://hooks.example.com:8443/", false),
            ("hooks.example.com:8443", "https://hooks.example.com:8443/", true),
            ("hooks.example.com:8443", "https://hooks.example.com/", false),
            ("hooks.example.com:443", "https://hooks.example.com/", true),
            ("hooks.example.com", "https://hooks.example.com./", false),
            ("hooks.example.com", "https://xhooks.example.com/", false),
            ("hooks.example.com", "https://hooks.example.com.evil.test/", false),
            ("*.example.com", "https://a.example.com/", true),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://aexample.com/", false),
            ("*.example.com", "https://a..example.com/", false),
            ("*.example.com", "https://a.example.com./", false),
            ("*.example.com", "https://a.example.com.evil.test/", false),
            ("*.müller.example", "https://a.xn--mller-kva.example/", true),
            ("*", "https://anything.example.net/", true),
            ("*", "https://anything.example.net:8443/", false),
            ("*:8443", "https://anything.example.net:8443/", true),
            ("*", "https://intranet/", false),
            ("*", "https://127.0.0.1/", false),
            ("*", "https://[::1]/", false),
            ("*", "https://2130706433/", false),
            ("93.184.216.34", "https://93.184.216.34/", true),
            ("93.184.216.34", "https://0x5db8d822/", true),
            ("*.216.example", "https://93.184.216.34/", false),
            ("[2606:2800:220:1::1]", "https://[2606:2800:220:1:0:0:0:1]/", true),
            ("[2606:2800:220:1::1]:8443", "https://[2606:2800:220:1::1]:8443/", true),
        ] {
            assert_eq!(allows(pattern, url, Scheme::Chosen), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn plain_http_chosen_by_a_row_needs_a_pattern_that_says_so() {
        for (pattern, url, literal, chosen) in [
            ("a.example.com", "http://a.example.com/", true, false),
            ("http://a.example.com", "http://a.example.com/", true, true),
            ("http://a.example.com", "https://a.example.com/", false, false),
            ("https://a.example.com", "http://a.example.com/", false, false),
            ("https://a.example.com", "https://a.example.com/", true, true),
            ("http://*:8080", "http://a.example.com:8080/", true, true),
        ] {
            let found = (allows(pattern, url, Scheme::Literal), allows(pattern, url, Scheme::Chosen));
            assert_eq!(found, (literal, chosen), "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "*.",
            "**",
            "*.*.example.com",
            "a.*.example.com",
            "a*.example.com",
            "*example.com",
            "example.com.",
            "a..example.com",
            "example.com/",
            "example.com/path",
            "user@example.com",
            "example.com:",
            "example.com:0",
            "example.com:+80",
            "example.com:99999",
            "example.com:*",
            "ftp://example.com",
            "//example.com",
            "{{ row.host }}",
            "a b.example.com",
            "ex%61mple.com",
            "0x7f000001",
            "127.1",
            "*.127.0.0.1",
            "[::1",
            "::1",
            "[::1]x",
        ] {
            HostPattern::parse(text).expect_err(text);
        }
    }
}
