//! Egress: which addresses are never called.
//!
//! In: the host of a URL, or the addresses that a name resolves to. Out: the ones that may be connected to. Link-local
//! addresses and the metadata services of clouds hand out credentials to whoever asks from the inside, so no rule and
//! no row can reach them, in no spelling. Private addresses are allowed: internal APIs are the main use.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// An address that is never called; says so without the address, which may come from a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host is a link-local or cloud metadata address, which rowhook never calls")]
pub struct Refused;

/// Metadata services outside the link-local ranges: Alibaba, Oracle, Azure; then AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Checks a URL whose host is an address; one with a name passes here and is checked by [`resolve`]. The URL parser has
/// turned decimal, octal and hexadecimal spellings into addresses already.
///
/// # Errors
/// [`Refused`] for an address that is never called.
pub fn check(url: &Url) -> Result<(), Refused> {
    let refused = match url.host() {
        Some(Host::Ipv4(address)) => refuses(address.into()),
        Some(Host::Ipv6(address)) => refuses(address.into()),
        Some(Host::Domain(_)) | None => false,
    };
    if refused { Err(Refused) } else { Ok(()) }
}

/// The addresses of a name that may be called, by the system's resolver.
///
/// # Errors
/// The resolver's own, and [`Refused`] when every address is one that is never called.
pub async fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    // The port is not known here; the connector puts the URL's in its place.
    allowed(tokio::net::lookup_host((name, 0)).await?.collect())
}

fn allowed(mut addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let found = addresses.len();
    addresses.retain(|address| !refuses(address.ip()));
    if addresses.is_empty() && found > 0 { Err(io::Error::other(Refused)) } else { Ok(addresses) }
}

fn refuses(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => refuses_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded_v4(address).into_iter().flatten().any(refuses_v4)
        }
    }
}

fn refuses_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA_V4.contains(&address)
}

/// The IPv4 addresses that an IPv6 address may stand for: mapped and compatible (RFC 4291), translated (RFC 7915), NAT64
/// (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) => [v4(g, h), None],
        (0x64, 0xff9b, 0, 0, 0, 0) => [v4(g, h), None],
        // A local NAT64 prefix of 96 bits keeps the address at the end; one of 48 bits around the byte that is zero.
        (0x64, 0xff9b, 1, ..) => [v4(g, h), v4(d, ((e & 0xff) << 8) | (f >> 8))],
        (0x2002, ..) => [v4(b, c), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[fe80::1]",
            "[febf::1]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[::ffff:0:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
        ] {
            let url = Url::parse(&format!("http://{host}/latest")).unwrap();
            assert_eq!(check(&url), Err(Refused), "{host}");
        }
    }

    #[test]
    fn public_private_and_loopback_addresses_and_names_are_allowed() {
        for host in [
            "93.184.216.34",
            "10.0.0.7",
            "192.168.1.1",
            "127.0.0.1",
            "169.253.255.255",
            "[::1]",
            "[2606:2800:220:1::1]",
            "[fd00::1]",
            "[64:ff9b::5db8:d822]",
            "api.example.com",
        ] {
            let url = Url::parse(&format!("http://{host}/orders")).unwrap();
            assert_eq!(check(&url), Ok(()), "{host}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_allowed_ones_are_left() {
        let bad: SocketAddr = "169.254.169.254:0".parse().unwrap();
        let good: SocketAddr = "10.0.0.7:0".parse().unwrap();
        assert_eq!(allowed(vec![bad, good]).unwrap(), [good]);
        let refused = allowed(vec![bad]).unwrap_err();
        assert!(refused.get_ref().unwrap().is::<Refused>());
        assert_eq!(allowed(vec![]).unwrap(), []);
    }
}
