//! Whose address a request comes from.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The client's address: the connection's own, unless a trusted proxy holds the connection. Then the chain in
/// `X-Forwarded-For` is read from its end, over every trusted proxy, to the first that is not one of ours. What a
/// client wrote further left is never believed.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    if !is_trusted(peer) {
        return peer;
    }
    let chain: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut client = peer;
    for hop in chain.into_iter().rev() {
        // Text that is no address ends the chain: whoever wrote it is not one of ours.
        let Ok(ip) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = ip.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header"));
        }
        let trusted: Vec<IpNet> = trusted
            .split_terminator(',')
            .map(|net| net.parse().expect("a network"))
            .collect();
        client_address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_their_address() {
        assert_eq!(seen("203.0.113.7", &["10.0.0.1"], ""), "203.0.113.7");
        assert_eq!(seen("203.0.113.7", &["10.0.0.1"], "10.0.0.0/8"), "203.0.113.7");
    }

    #[test]
    fn a_trusted_proxy_is_believed_for_the_hop_it_saw() {
        assert_eq!(seen("10.0.0.1", &["198.51.100.4"], "10.0.0.0/8"), "198.51.100.4");
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6, 198.51.100.4, 10.0.0.2"], "10.0.0.0/8"),
            "198.51.100.4"
        );
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6", "198.51.100.4"], "10.0.0.0/8"),
            "198.51.100.4"
        );
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, nonsense"], "10.0.0.0/8"), "10.0.0.1");
        assert_eq!(
            seen("::ffff:10.0.0.1", &["2001:db8::1"], "10.0.0.0/8"),
            "2001:db8::1"
        );
    }
}
