//! The network of an address, which stays the same while a user stays in one place.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// A /24 of IPv4 or a /48 of IPv6: about what a provider assigns to one site. Read it with prepared statements only: the
/// driver's decoder for simple queries (sqlx-postgres 0.9.0, `types/ipnet`) prints its input to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Network(IpNet);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        Self(within(address, 24, 48))
    }

    /// Whether the networks are in different regions: not in the same /16 of IPv4 or /32 of IPv6, which is about one provider in
    /// one region. False for an IPv4 and an IPv6 network, which cannot be compared.
    pub fn is_far_from(self, other: Network) -> bool {
        let region = |network: Network| within(network.0.addr(), 16, 32);
        self.0.addr().is_ipv4() == other.0.addr().is_ipv4() && region(self) != region(other)
    }
}

fn within(address: IpAddr, v4: u8, v6: u8) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { v4 } else { v6 };
    // The prefix length always fits the kind of address.
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
