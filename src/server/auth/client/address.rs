//! Determines the client's address of a request.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::server::telemetry::log_limit::{OncePerMinute, sanitized};

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: the peer's, unless the peer is a trusted proxy. Then the last entry of `X-Forwarded-For` that is
/// not a trusted proxy. Entries further left are not trusted, since the client can write them. `Forwarded` (RFC 7239) is
/// ignored, because most proxies forward the client's value.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    if !is_trusted(peer) {
        return peer;
    }
    if !headers.contains_key(X_FORWARDED_FOR) && headers.contains_key("forwarded") {
        warn_of_forwarded(peer);
    }
    let chain: Vec<&[u8]> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
        .collect();
    let mut client = peer;
    for entry in chain.into_iter().rev() {
        // An invalid entry ends the chain. The entry to its right is the last one from a trusted proxy.
        let Some(ip) = parse_entry(entry) else {
            warn_of_entry(peer, entry);
            break;
        };
        client = ip;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// Parses an address as proxies write it: plain, with port, brackets, quotes or zone. Converts IPv4-mapped IPv6 to IPv4.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let text = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?.trim(),
        None => text,
    };
    let address = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            let has_port = port.strip_prefix(':').is_some_and(is_port);
            if !port.is_empty() && !has_port {
                return None;
            }
            let ip = without_zone(address)?.parse().ok()?;
            IpAddr::V6(ip)
        }
        None => match text.parse::<SocketAddr>() {
            Ok(with_port) => with_port.ip(),
            Err(_) => without_zone(text)?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// An IPv6 address without the interface name after `%`.
fn without_zone(text: &str) -> Option<&str> {
    match text.split_once('%') {
        None => Some(text),
        Some((address, zone)) => (address.contains(':') && !zone.is_empty()).then_some(address),
    }
}

fn warn_of_entry(proxy: IpAddr, entry: &[u8]) {
    static LIMIT: OncePerMinute = OncePerMinute::new();
    if let Some(suppressed) = LIMIT.allow() {
        let entry = sanitized(entry);
        tracing::warn!(%proxy, entry, suppressed, "trusted proxy sent an invalid X-Forwarded-For entry");
    }
}

fn warn_of_forwarded(proxy: IpAddr) {
    static LIMIT: OncePerMinute = OncePerMinute::new();
    if let Some(suppressed) = LIMIT.allow() {
        tracing::warn!(
            %proxy,
            suppressed,
            "trusted proxy sent Forwarded without X-Forwarded-For, clients share the proxy's address"
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let lines: Vec<&[u8]> = forwarded.iter().map(|line| line.as_bytes()).collect();
        seen_bytes(peer, &lines, trusted)
    }

    fn seen_bytes(peer: &str, forwarded: &[&[u8]], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = HeaderValue::from_bytes(value).expect("a header");
            headers.append(X_FORWARDED_FOR, value);
        }
        let trusted: Vec<IpNet> = trusted
            .split_terminator(',')
            .map(|net| net.parse().expect("a network"))
            .collect();
        client_address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn untrusted_client_cannot_choose_its_address() {
        assert_eq!(seen("203.0.113.7", &["10.0.0.1"], ""), "203.0.113.7");
        assert_eq!(seen("203.0.113.7", &["10.0.0.1"], "10.0.0.0/8"), "203.0.113.7");
    }

    #[test]
    fn trusted_proxy_is_believed_for_one_hop() {
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

    #[test]
    fn every_address_notation_parses() {
        for (entry, address) in [
            ("203.0.113.7:55220", "203.0.113.7"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:443", "fe80::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("\"203.0.113.7\"", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
            (" 203.0.113.7\t", "203.0.113.7"),
            ("203.0.113.7, ", "203.0.113.7"),
            ("6.6.6.6:1, 203.0.113.7:2, 10.0.0.2:3", "203.0.113.7"),
        ] {
            assert_eq!(seen("10.0.0.1", &[entry], "10.0.0.0/8"), address, "{entry}");
        }
    }

    #[test]
    fn invalid_address_ends_the_chain() {
        for entry in [
            "unknown",
            "_hidden",
            "203.0.113.7:",
            "203.0.113.7:port",
            "203.0.113.7%eth0",
            "203.0.113",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "[203.0.113.7]",
            "fe80::1%",
            "\"203.0.113.7",
            "for=203.0.113.7",
        ] {
            let line = format!("6.6.6.6, {entry}, 10.0.0.2");
            assert_eq!(seen("10.0.0.1", &[&line], "10.0.0.0/8"), "10.0.0.2", "{entry}");
        }
        // A line that is no text hides no line of the proxy, and gives away no address of the client's choice.
        let lines: [&[u8]; 2] = [b"6.6.6.6", b"\xe9, 10.0.0.2"];
        assert_eq!(seen_bytes("10.0.0.1", &lines, "10.0.0.0/8"), "10.0.0.2");
    }
}
