//! The neighbourhood of an address: what stays the same while a person stays in one place.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// A /24 of IPv4 or a /48 of IPv6, which is about what a provider gives to one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        Self(within(address, 24, 48))
    }

    /// Whether two networks have little to do with each other: not even a /16 of IPv4 or a /32 of IPv6, which is about
    /// what one provider has in one region. Between the two kinds of address nothing can be said.
    pub fn is_far_from(self, other: Network) -> bool {
        let region = |network: Network| within(network.0.addr(), 16, 32);
        self.0.addr().is_ipv4() == other.0.addr().is_ipv4() && region(self) != region(other)
    }
}

fn within(address: IpAddr, v4: u8, v6: u8) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { v4 } else { v6 };
    // A length that fits its kind of address always makes a network.
    IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |net| net.trunc())
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn neighbours_share_a_network_and_regions_differ() {
        assert_eq!(network("203.0.113.7"), network("203.0.113.250"));
        assert_eq!(network("::ffff:203.0.113.7").to_string(), "203.0.113.0/24");
        assert_ne!(network("203.0.113.7"), network("203.0.114.7"));
        assert!(!network("203.0.113.7").is_far_from(network("203.0.114.7")));
        assert!(network("203.0.113.7").is_far_from(network("198.51.100.4")));
        assert_eq!(network("2001:db8:1:2::3"), network("2001:db8:1:ffff::1"));
        assert!(!network("2001:db8:1::1").is_far_from(network("2001:db8:2::1")));
        assert!(network("2001:db8::1").is_far_from(network("2a00:1450::1")));
        assert!(!network("2001:db8::1").is_far_from(network("203.0.113.7")));
    }
}
