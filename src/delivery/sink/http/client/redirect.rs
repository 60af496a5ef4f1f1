//! Where a redirect leads: what can be said of it. Pure functions.
//!
//! In: the URL that was called, the `Location` of the answer. Out: a hint without path and query, which is fit for logs and
//! one line for people (the path may hold what a row holds), and the address for a dead letter: without user, password,
//! query and fragment, and of bounded length. Deliberately follows nothing.

use url::Url;

use crate::printable::{is_printable, shortened};

/// What is shown of an address; more would not help.
const SHOWN_CHARS_MAX: usize = 300;

/// See the module's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Ends `it redirects …`.
    pub hint: String,
    /// The address; without its path where [`hide_path`](Redirect::hide_path) was called.
    pub shown: Option<String>,
    origin: Option<String>,
}

impl Redirect {
    /// None for a status that is no redirect.
    pub fn read(status: u16, location: Option<&[u8]>, from: &Url) -> Option<Redirect> {
        let none = |hint: &str| Some(Redirect { hint: hint.to_owned(), shown: None, origin: None });
        let Some(location) = location else {
            return if matches!(status, 301 | 302 | 303 | 307 | 308) { none("without saying where to") } else { None };
        };
        if !(300..=399).contains(&status) {
            return None;
        }
        let text = String::from_utf8_lossy(location);
        let Some(to) = from.join(text.trim()).ok().filter(|to| matches!(to.scheme(), "http" | "https")) else {
            return none("to something that is no HTTP address");
        };
        let origin = to.origin().ascii_serialization();
        Some(Redirect { hint: hint(from, &to, &origin), shown: Some(shown(&to, &origin)), origin: Some(origin) })
    }

    /// The URL that was called holds a secret, which the server may repeat.
    pub fn hide_path(&mut self) {
        self.shown = self.origin.as_ref().map(|origin| format!("{origin}/***"));
    }
}

fn hint(from: &Url, to: &Url, origin: &str) -> String {
    let slash = |longer: &Url, shorter: &Url| longer.path().strip_suffix('/') == Some(shorter.path());
    match from.origin() == to.origin() {
        false => format!("to {}", bounded(origin)),
        true if slash(to, from) => "to the same URL with a `/` at the end".to_owned(),
        true if slash(from, to) => "to the same URL without the `/` at the end".to_owned(),
        true if from.path() == to.path() => "to the same path of this server".to_owned(),
        true => "to another path of this server".to_owned(),
    }
}

fn shown(to: &Url, origin: &str) -> String {
    let query = if to.query().is_some() { "?***" } else { "" };
    bounded(&format!("{origin}{}{query}", to.path()))
}

/// Printable, and at most so long.
fn bounded(text: &str) -> String {
    let clean: String = text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect();
    shortened(&clean, SHOWN_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(location: &str) -> Redirect {
        let from = Url::parse("http://api.example.com/orders/4711?key=s3cret").unwrap();
        Redirect::read(308, Some(location.as_bytes()), &from).expect("a redirect")
    }

    #[test]
    fn it_says_where_to_without_what_may_be_secret() {
        for (location, hint, shown) in [
            (
                "https://api.example.com/orders/4711",
                "to https://api.example.com",
                "https://api.example.com/orders/4711",
            ),
            ("https://www.example.com/x/", "to https://www.example.com", "https://www.example.com/x/"),
            ("http://api.example.com:8080/", "to http://api.example.com:8080", "http://api.example.com:8080/"),
            ("https://me:s3cret@b.test/x?t=s3cret#s3cret", "to https://b.test", "https://b.test/x?***"),
            ("/orders/4711/", "to the same URL with a `/` at the end", "http://api.example.com/orders/4711/"),
            ("4711/?x", "to the same URL with a `/` at the end", "http://api.example.com/orders/4711/?***"),
            ("//b.test/y", "to http://b.test", "http://b.test/y"),
            ("../v2", "to another path of this server", "http://api.example.com/v2"),
            ("?page=2", "to the same path of this server", "http://api.example.com/orders/4711?***"),
            ("", "to the same path of this server", "http://api.example.com/orders/4711?***"),
            (" /login\t", "to another path of this server", "http://api.example.com/login"),
            ("https://bücher.example/ä", "to https://xn--bcher-kva.example", "https://xn--bcher-kva.example/%C3%A4"),
        ] {
            let redirect = read(location);
            assert_eq!((redirect.hint.as_str(), redirect.shown.as_deref()), (hint, Some(shown)), "{location:?}");
        }
    }

    #[test]
    fn an_address_that_nobody_could_call_is_not_shown() {
        for location in ["javascript:alert(1)", "file:///etc/passwd", "http://", "https://a b/", "http://[::1"] {
            let Redirect { hint, shown, .. } = read(location);
            assert_eq!((hint.as_str(), shown), ("to something that is no HTTP address", None), "{location}");
        }
        let long = read(&format!("https://b.test/{}", "x".repeat(9000))).shown.expect("an address");
        assert!(long.len() < 400 && long.ends_with('…'), "{long}");
        let from = Url::parse("http://a.test/").unwrap();
        assert!(
            Redirect::read(302, Some(b"\xff\xfe\x1b[31m"), &from)
                .is_some_and(|redirect| !redirect.hint.contains('\x1b'))
        );
    }

    #[test]
    fn of_a_url_with_a_secret_the_path_is_hidden() {
        let mut redirect = read("/hook/s3cret/");
        redirect.hide_path();
        assert_eq!(redirect.shown.as_deref(), Some("http://api.example.com/***"));
        assert!(!redirect.hint.contains("s3cret"));
    }

    #[test]
    fn a_status_alone_is_a_redirect_only_where_it_is_one() {
        let from = Url::parse("http://a.test/").unwrap();
        for (status, location, is_one) in [
            (301, None, true),
            (303, None, true),
            (300, None, false),
            (304, None, false),
            (304, Some(&b"/x"[..]), true),
            (201, Some(&b"/x"[..]), false),
            (404, Some(&b"/x"[..]), false),
        ] {
            assert_eq!(Redirect::read(status, location, &from).is_some(), is_one, "{status} {location:?}");
        }
    }
}
