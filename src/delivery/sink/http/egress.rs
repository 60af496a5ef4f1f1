//! Egress: which addresses are called and which are not.
//!
//! In: the host of a URL, or the addresses that a name resolves to. Out: the ones that may be connected to. Link-local
//! addresses and the metadata services of clouds hand out credentials to any caller on the inside, so no rule and
//! no row can reach them, in no spelling. Private addresses are allowed, for internal APIs are the main use, unless the
//! rule says `egress: public_only` or leaves the host to its rows. A proxy connects itself, to what it resolves itself:
//! there the host of the URL is checked, and for calls to public addresses what this machine knows of the name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use crate::rules::Egress;

/// An address must not be called. The text does not contain the address, which may come from a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    #[error("the host is a link-local or cloud metadata address, which rowhook never calls")]
    Metadata,
    #[error("the host is no public address, and this call may connect to public addresses only")]
    NotPublic,
}

/// Metadata services outside the link-local ranges: Alibaba, Oracle, Azure; then AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Blocks of IPv4 that are not globally reachable, by the registry of special-purpose addresses (RFC 6890): this
/// network, private, shared (CGNAT), loopback, link-local, protocol assignments, documentation, 6to4 relays,
/// benchmarking, multicast, reserved and broadcast. Each with the length of its prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Checks a URL whose host is an address; if it is a name, [`allowed`] checks its addresses. The URL parser has turned
/// decimal, octal and hexadecimal spellings into addresses already.
///
/// # Errors
/// [`AddressRefused`] for an address that must not be called.
pub fn check(url: &Url, egress: Egress) -> Result<(), AddressRefused> {
    match url.host() {
        Some(Host::Ipv4(address)) => judge(address.into(), egress),
        Some(Host::Ipv6(address)) => judge(address.into(), egress),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

/// The addresses of a name, by the system's resolver.
pub async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    // The port is not known here; the connector puts the URL's in its place.
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// The addresses that may be called.
///
/// # Errors
/// [`AddressRefused`] when there are some, and none of them may be.
pub fn allowed(mut addresses: Vec<SocketAddr>, egress: Egress) -> io::Result<Vec<SocketAddr>> {
    let mut refused = None;
    addresses.retain(|address| judge(address.ip(), egress).map_err(|reason| refused = Some(reason)).is_ok());
    match refused {
        Some(reason) if addresses.is_empty() => Err(io::Error::other(reason)),
        _ => Ok(addresses),
    }
}

/// Whether each of them may be called, for one who can't know which of them will be.
///
/// # Errors
/// [`AddressRefused`] when one may not be.
pub fn all_allowed(addresses: &[SocketAddr], egress: Egress) -> Result<(), AddressRefused> {
    addresses.iter().try_for_each(|address| judge(address.ip(), egress))
}

fn judge(address: IpAddr, egress: Egress) -> Result<(), AddressRefused> {
    if is_metadata(address) {
        return Err(AddressRefused::Metadata);
    }
    match egress {
        Egress::PublicOnly if !is_public(address) => Err(AddressRefused::NotPublic),
        _ => Ok(()),
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_metadata_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded_v4(address).into_iter().flatten().any(is_metadata_v4)
        }
    }
}

fn is_metadata_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA_V4.contains(&address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !SPECIAL_V4.iter().any(|(block, length)| (bits ^ u32::from(*block)) >> (32 - length) == 0)
}

/// Global unicast (2000::/3) without its special blocks: protocol assignments with Teredo, benchmarking and ORCHID
/// (2001::/23), documentation (2001:db8::/32, 3fff::/20), 6to4 (2002::/16). Of the rest only what stands for a public
/// IPv4 address: mapped, or NAT64 by its well-known prefix.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            embedded_v4(address).into_iter().flatten().all(is_public_v4)
        }
        [0x2001, second, ..] => second > 0x1ff && second != 0xdb8,
        [0x2002, ..] => false,
        [0x3fff, second, ..] => second > 0xfff,
        [first, ..] => first >> 13 == 1,
    }
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
            assert_eq!(check(&url, Egress::PrivateToo), Err(AddressRefused::Metadata), "{host}");
            assert_eq!(check(&url, Egress::PublicOnly), Err(AddressRefused::Metadata), "{host}");
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
            assert_eq!(check(&url, Egress::PrivateToo), Ok(()), "{host}");
        }
    }

    #[test]
    fn of_the_addresses_of_a_name_only_the_allowed_ones_are_returned() {
        let bad: SocketAddr = "169.254.169.254:0".parse().unwrap();
        let good: SocketAddr = "10.0.0.7:0".parse().unwrap();
        let public: SocketAddr = "93.184.216.34:0".parse().unwrap();
        assert_eq!(allowed(vec![bad, good, public], Egress::PrivateToo).unwrap(), [good, public]);
        assert_eq!(allowed(vec![bad, good, public], Egress::PublicOnly).unwrap(), [public]);
        let refused = allowed(vec![bad], Egress::PrivateToo).unwrap_err();
        assert!(refused.get_ref().unwrap().is::<AddressRefused>());
        allowed(vec![good], Egress::PublicOnly).unwrap_err();
        assert_eq!(allowed(vec![], Egress::PublicOnly).unwrap(), []);
        assert_eq!(all_allowed(&[public, public], Egress::PublicOnly), Ok(()));
        assert_eq!(all_allowed(&[public, good], Egress::PublicOnly), Err(AddressRefused::NotPublic));
        assert_eq!(all_allowed(&[good, bad], Egress::PrivateToo), Err(AddressRefused::Metadata));
    }

    #[test]
    fn only_globally_reachable_addresses_are_public() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:2800:220:1::1",
            "2001:200::1",
            "2a00:1450::1",
            "3ffe::1",
            "::ffff:93.184.216.34",
            "64:ff9b::93.184.216.34",
        ];
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "::93.184.216.34",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:5db8:d822::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for (addresses, expected) in [(&public[..], true), (&special[..], false)] {
            for text in addresses {
                let address: IpAddr = text.parse().expect(text);
                assert_eq!(judge(address, Egress::PublicOnly).is_ok(), expected, "{text}");
            }
        }
    }
}
