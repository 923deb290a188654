//! `PORTAL_TRUSTED_PROXIES`: proxies whose `X-Forwarded-For` is trusted.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Shorter prefixes contain more than the proxies of one site.
const SHORTEST_IPV4: u8 = 8;
const SHORTEST_IPV6: u8 = 16;

/// Unique local addresses (RFC 4193): private, although their prefix is short.
const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// Parses addresses and networks separated by commas. IPv4 networks in IPv6 notation (`::ffff:10.0.0.0/104`) become
/// IPv4, like the addresses that they are compared with.
pub fn parse(text: &str) -> Option<Vec<IpNet>> {
    text.split(',').map(|net| network(net.trim())).collect()
}

fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let IpNet::V6(v6) = network else {
        return Some(network);
    };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    match mapped {
        Some((address, length)) => Some(IpNet::V4(Ipv4Net::new(address, length).ok()?)),
        None => Some(network),
    }
}

/// Returns whether the network is so large that it may contain clients, which could then forge their address.
pub fn is_too_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(v4) => v4.prefix_len() < SHORTEST_IPV4,
        IpNet::V6(v6) => v6.prefix_len() < SHORTEST_IPV6 && !UNIQUE_LOCAL.contains(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_networks_match_ipv4_addresses() {
        for (text, inside, outside) in [
            ("::ffff:10.0.0.0/104", "10.9.8.7", "11.0.0.1"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.1"),
            ("10.0.0.0/8", "10.9.8.7", "11.0.0.1"),
            ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
        ] {
            let networks = parse(text).expect(text);
            let contains = |ip: &str| networks[0].contains(&ip.parse::<IpAddr>().expect("an address"));
            assert!(contains(inside) && !contains(outside), "{text}");
        }
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0.1,", "::ffff:10.0.0.0/129"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn networks_that_contain_clients_are_too_wide() {
        for (text, wide) in [
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("::ffff:0.0.0.0/96", true),
            ("128.0.0.0/1", true),
            ("2000::/3", true),
            ("10.0.0.0/8", false),
            ("fc00::/7", false),
            ("2001:db8::/32", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_too_wide(&parse(text).expect(text)[0]), wide, "{text}");
        }
    }
}
