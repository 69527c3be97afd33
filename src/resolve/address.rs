//! Which addresses may be connected to on behalf of strangers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that are public by allocation, yet answer with the secrets of the machine that asks: the metadata
/// service of a large cloud.
const METADATA: [Ipv4Addr; 1] = [Ipv4Addr::new(168, 63, 129, 16)];

/// Whether `address` is one that the whole internet can reach: global unicast, and no special use by the registries
/// of RFC 6890 (as kept by IANA).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(|| is_public_v6(address), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] | [169, 254, ..] | [192, 168, ..] => true, // this network, private, loopback, link-local
        [100, b, ..] => b & 0xc0 == 64,                               // carrier-grade NAT (RFC 6598)
        [172, b, ..] => b & 0xf0 == 16,                               // private
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => true, // IETF, documentation
        [192, 88, 99, _] => true,                                     // 6to4 relays (RFC 7526)
        [198, b, ..] => b & 0xfe == 18,                               // benchmarks (RFC 2544)
        [a, ..] => a >= 224,                                          // multicast, reserved, broadcast
    };
    !special && !METADATA.contains(&address)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global_unicast = first & 0xe000 == 0x2000; // 2000::/3; leaves out ::1, fc00::/7, fe80::/10, 64:ff9b::/96
    let special = match (first, second) {
        (0x2001, second) => second < 0x0200 || second == 0x0db8, // 2001::/23 (Teredo and others), documentation
        (0x2002, _) => true,                                     // 6to4: carries an IPv4 address
        (0x3fff, second) => second < 0x1000,                     // documentation (RFC 9637)
        _ => false,
    };
    is_global_unicast && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_pass() {
        let refused = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1", "2a00:1450::1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        assert!(is_public("::ffff:1.1.1.1".parse().unwrap()));
    }
}
