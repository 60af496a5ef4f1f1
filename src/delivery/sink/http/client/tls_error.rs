//! Why a TLS connection could not be made, and what helps.
//!
//! In: an error of `rustls`. Out: one line for people that says what is wrong and who can put it right. The host that was
//! called is not in it, for it may come from a row; the names that a certificate bears are, cleaned and few. Deliberately
//! decides nothing.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::printable::{is_printable, shortened};

/// What is shown of the names in a certificate.
const NAMES_MAX: usize = 3;
const NAME_CHARS_MAX: usize = 80;

/// See the module's header.
pub(super) fn tls_text(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(problem) => format!("TLS: {}", certificate_text(problem)),
        Error::NoCertificatesPresented => "TLS: the server shows no certificate".to_owned(),
        Error::AlertReceived(alert) => format!("TLS: the server ends the handshake ({alert:?}){}", alert_hint(*alert)),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "TLS: the server does not speak TLS at this port: `url` must begin with http://, or needs the port of https"
                .to_owned()
        }
        Error::PeerIncompatible(_) => {
            format!("TLS: {error}; rowhook speaks TLS 1.2 and 1.3, and the server none of what both could")
        }
        other => format!("TLS: {other}"),
    }
}

/// As [`tls_text`], where HTTP/2 has kept only the words: those of [`Error::AlertReceived`].
pub(super) fn alert_text(words: &str) -> Option<String> {
    let name = words.strip_prefix("received fatal alert: ")?;
    let hint = if is_about_our_certificate(name) { CLIENT_CERTIFICATE } else { "" };
    Some(format!("TLS: the server ends the handshake ({}){hint}", printable(name)))
}

const CLIENT_CERTIFICATE: &str =
    "; it wants a client certificate that it knows: `tls: {cert: FILE, key: FILE}` in the call";

fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnrecognisedName => "; it serves no host of this name: is the host in `url` right?",
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
            "; rowhook speaks TLS 1.2 and 1.3, with ciphers that are not broken"
        }
        alert if is_about_our_certificate(&format!("{alert:?}")) => CLIENT_CERTIFICATE,
        _ => "",
    }
}

fn is_about_our_certificate(alert: &str) -> bool {
    let others = ["AccessDenied", "UnknownCA", "DecryptError"];
    alert.contains("Certificate") || others.contains(&alert)
}

fn certificate_text(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "no certificate authority that is trusted here signed the server's certificate. If it is self-signed, or from an \
             authority of your own, name the PEM file of that certificate or authority in the call: `tls: {ca: FILE}`"
                .to_owned()
        }
        CertificateError::Expired => format!("the server's certificate has expired{RENEW}"),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate has expired on {}{RENEW}", day(*not_after))
        }
        CertificateError::NotValidYet => format!("the server's certificate is not valid yet{CLOCK}"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is valid from {} on, not yet{CLOCK}", day(*not_before))
        }
        CertificateError::NotValidForName => format!("the server's certificate is for another name{NAME}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("the server's certificate is for {}{NAME}", names(presented))
        }
        CertificateError::Revoked => "the server's certificate was revoked: the server needs another one".to_owned(),
        // webpki takes no certificate of an authority for a server's own, trusted or not.
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows a self-signed certificate that is marked as one of an authority (CA:TRUE), which no server's \
             may be, even where it is trusted. Make one that is not (`openssl req -x509 … -addext \
             basicConstraints=critical,CA:FALSE`) and name it in the call: `tls: {ca: FILE}`"
                .to_owned()
        }
        other => format!("the server's certificate can't be trusted: {}", printable(&other.to_string())),
    }
}

const RENEW: &str = ": it must be renewed there (or the clock of this machine is wrong)";
const CLOCK: &str = ": is the clock of this machine right?";
const NAME: &str =
    ", not for the host in `url`: call it by a name that is in its certificate, or have a new certificate issued";

fn names(presented: &[String]) -> String {
    // `DnsName("api.example.com")`, as the library writes them.
    let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    let shown: Vec<String> =
        presented.iter().take(NAMES_MAX).map(|name| shortened(&printable(&bare(name)), NAME_CHARS_MAX)).collect();
    match (shown.is_empty(), presented.len() > NAMES_MAX) {
        (true, _) => "no name".to_owned(),
        (false, true) => format!("{} and others", shown.join(", ")),
        (false, false) => shown.join(", "),
    }
}

fn day(time: UnixTime) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(time.as_secs()));
    // The date alone of `2026-11-28T19:10:44Z`.
    at.map_or_else(
        || "a day out of reach".to_owned(),
        |at| humantime::format_rfc3339_seconds(at).to_string().chars().take(10).collect(),
    )
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;

    fn text(problem: CertificateError) -> String {
        tls_text(&Error::InvalidCertificate(problem))
    }

    #[test]
    fn a_certificate_that_is_refused_says_why_and_what_helps() {
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let unknown = text(CertificateError::UnknownIssuer);
        assert!(unknown.contains("self-signed") && unknown.ends_with("`tls: {ca: FILE}`"), "{unknown}");
        let expired =
            text(CertificateError::ExpiredContext { time: time(2_000_000_000), not_after: time(1_577_836_800) });
        assert!(
            expired.starts_with("TLS: the server's certificate has expired on 2020-01-01: it must be"),
            "{expired}"
        );
        let early = text(CertificateError::NotValidYetContext { time: time(0), not_before: time(4_102_444_800) });
        assert!(early.contains("valid from 2100-01-01 on"), "{early}");
        let far = text(CertificateError::ExpiredContext { time: time(0), not_after: time(u64::MAX) });
        assert!(far.contains("a day out of reach"), "{far}");
    }

    #[test]
    fn of_a_name_that_does_not_fit_only_those_of_the_certificate_are_shown() {
        let expected = ServerName::try_from("row-4711.example.com").expect("a name");
        let wrong = |presented: &[&str]| {
            let presented = presented.iter().map(|name| (*name).to_owned()).collect();
            text(CertificateError::NotValidForNameContext { expected: expected.clone(), presented })
        };
        let one = wrong(&["DnsName(\"api.example.com\")"]);
        assert!(one.starts_with("TLS: the server's certificate is for api.example.com, not for the host"), "{one}");
        assert!(!one.contains("4711"), "{one}");
        assert!(wrong(&[]).contains("is for no name, not"), "{}", wrong(&[]));
        assert!(wrong(&["a", "b\u{1b}[31m", "c", "d"]).contains("is for a, b [31m, c and others, not"));
        assert!(wrong(&[&"x".repeat(10_000)]).len() < 400);
    }
}
