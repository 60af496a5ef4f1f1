//! The RSA key that encrypts a password that is sent without TLS.
//!
//! In: a public key in PEM form, from a file or, over the loopback device, from the server. Out: the password,
//! encrypted as `caching_sha2_password` requires: XORed with the nonce, OAEP with SHA-1. The key is parsed here first,
//! because the library that does the arithmetic panics at a key that it can't read. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mysql_common::crypto;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::password::Password;

/// Shorter ones can be broken. MySQL makes its own with this length.
const MODULUS_BYTES_MIN: usize = 256;

/// Larger keys take seconds of computing; so do large exponents.
const MODULUS_BYTES_MAX: usize = 1024;
const EXPONENT_BYTES_MAX: usize = 4;

/// So many bytes of the modulus are taken by OAEP with SHA-1.
const PADDING_BYTES: usize = 42;

/// `rsaEncryption`, 1.2.840.113549.1.1.1.
const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;

/// A public key that may encrypt the password.
#[derive(Debug, Clone)]
pub(in crate::source) struct PublicKey {
    /// The same key, encoded again by rowhook.
    pem: String,
    room_bytes: usize,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`, as MySQL writes and shows it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(pem: &[u8]) -> Result<PublicKey, &'static str> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| "there is no `-----BEGIN PUBLIC KEY-----` in PEM form")?;
        let (modulus, exponent) = parts(&der).ok_or("it is no RSA key")?;
        if modulus.len() < MODULUS_BYTES_MIN {
            return Err("an RSA key of less than 2048 bits can be broken");
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        if modulus.len() > MODULUS_BYTES_MAX || exponent.len() > EXPONENT_BYTES_MAX || exponent == [1] {
            return Err("the RSA key is longer than 8192 bits, or its exponent is 1 or has more than 32 bits");
        }
        if !is_odd(modulus) || !is_odd(exponent) {
            return Err("it is no RSA key: its numbers are even");
        }
        let pem = format!("-----BEGIN PUBLIC KEY-----{}-----END PUBLIC KEY-----", STANDARD.encode(&*der));
        // The library counts a byte less where the highest one has a single bit.
        Ok(PublicKey { pem, room_bytes: modulus.len() - 1 - PADDING_BYTES })
    }

    /// The password as it goes to the server; none if it is too long for the key.
    pub fn hide(&self, password: &Password, nonce: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = [password.0.as_bytes(), &[0]].concat();
        if bytes.len() > self.room_bytes {
            return None;
        }
        for (byte, mask) in bytes.iter_mut().zip(nonce.iter().cycle()) {
            *byte ^= mask;
        }
        Some(crypto::encrypt(&bytes, self.pem.as_bytes()))
    }
}

/// Modulus and exponent of a SubjectPublicKeyInfo (RFC 5280) that holds an RSAPublicKey (RFC 8017), and nothing after them.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let whole = |(content, rest): (_, &[u8])| rest.is_empty().then_some(content);
    let (algorithm, rest) = element(SEQUENCE, whole(element(SEQUENCE, der)?)?)?;
    let (oid, _) = element(OID, algorithm)?;
    let [0, key @ ..] = whole(element(BIT_STRING, rest)?)? else { return None };
    let (modulus, rest) = element(INTEGER, whole(element(SEQUENCE, key)?)?)?;
    let exponent = whole(element(INTEGER, rest)?)?;
    (oid == RSA_OID).then_some((natural(modulus)?, natural(exponent)?))
}

/// A positive number without its leading zeros.
fn natural(integer: &[u8]) -> Option<&[u8]> {
    let begin = integer.iter().position(|byte| *byte != 0)?;
    (integer[0] < 0x80).then_some(&integer[begin..])
}

/// The content of the element of this kind at the beginning, and what comes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A public key of 2048 bits whose other half was thrown away.
    pub(in super::super) const KEY: &str = include_str!("key/test-key.pem");

    fn spki(oid: &[u8], modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let element =
            |tag: u8, content: &[u8]| [&[tag, 0x82, (content.len() >> 8) as u8, content.len() as u8], content].concat();
        let key = element(SEQUENCE, &[element(INTEGER, modulus), element(INTEGER, exponent)].concat());
        let algorithm = element(SEQUENCE, &element(OID, oid));
        element(SEQUENCE, &[algorithm, element(BIT_STRING, &[&[0], &*key].concat())].concat())
    }

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_password_is_encrypted_each_time_to_another_text() {
        let key = PublicKey::parse(KEY.as_bytes()).expect("a key");
        let password = Password("s3cret".to_string());
        let hidden = [(); 2].map(|()| key.hide(&password, b"nonce-of-twenty-byte").expect("hidden"));
        assert!(hidden.iter().all(|hidden| (250..=256).contains(&hidden.len())), "{hidden:?}");
        assert_ne!(hidden[0], hidden[1]);
        for (length, fits) in [(0, true), (212, true), (213, false), (100_000, false)] {
            assert_eq!(key.hide(&Password("x".repeat(length)), b"nonce").is_some(), fits, "{length}");
        }
    }

    #[test]
    fn bytes_that_are_no_public_key_are_refused_with_a_reason_and_without_a_panic() {
        let (modulus, exponent) = ([0x81; 256], [1, 0, 1]);
        PublicKey::parse(pem(&spki(RSA_OID, &[&[0], &modulus[..]].concat(), &exponent)).as_bytes()).expect("a key");
        let long = [1; 1025];
        for (what, der, part) in [
            ("another algorithm", spki(&[0x2b, 0x65, 0x70], &long[..256], &exponent), "no RSA key"),
            ("a short one", spki(RSA_OID, &long[..255], &exponent), "2048 bits"),
            ("zeros before a short one", spki(RSA_OID, &[&[0; 99], &long[..255]].concat(), &exponent), "2048 bits"),
            ("a long one", spki(RSA_OID, &long, &exponent), "8192 bits"),
            ("a large exponent", spki(RSA_OID, &long[..256], &long[..5]), "exponent"),
            ("an exponent that hides nothing", spki(RSA_OID, &long[..256], &[1]), "exponent"),
            ("an even exponent", spki(RSA_OID, &long[..256], &[1, 0]), "even"),
            ("no exponent", spki(RSA_OID, &long[..256], &[]), "no RSA key"),
            ("zero", spki(RSA_OID, &[0; 256], &exponent), "no RSA key"),
            ("a negative one", spki(RSA_OID, &modulus, &exponent), "no RSA key"),
            ("nothing", vec![], "no RSA key"),
            ("something behind it", [spki(RSA_OID, &long[..256], &exponent), vec![0]].concat(), "no RSA key"),
        ] {
            let problem = PublicKey::parse(pem(&der).as_bytes()).expect_err(what);
            assert!(problem.contains(part), "{what}: {problem}");
        }
        let whole = spki(RSA_OID, &long[..256], &exponent);
        for end in 0..whole.len() {
            PublicKey::parse(pem(&whole[..end]).as_bytes()).expect_err("cut off");
        }
        for text in
            ["", "s3cret", "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----"]
        {
            let problem = PublicKey::parse(text.as_bytes()).expect_err(text);
            assert!(problem.contains("PEM form") && !problem.contains("s3cret"), "{problem}");
        }
    }
}
