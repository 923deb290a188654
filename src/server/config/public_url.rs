//! The URL under which users reach the portal.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use url::{Host, Url};

/// The URL under which users reach the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port, as browsers write `Origin`.
    origin: String,
    is_loopback: bool,
    https: bool,
}

impl PublicUrl {
    /// Derives the URL from the listen address, for a server without a proxy. A server that listens on every interface
    /// gets its loopback address.
    pub fn of(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let authority = SocketAddr::new(ip, address.port()).to_string();
        Self {
            // Browsers omit the default port.
            origin: format!("http://{}", authority.strip_suffix(":80").unwrap_or(&authority)),
            is_loopback: ip.to_canonical().is_loopback(),
            https: false,
        }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns host and port, as after `//`.
    pub fn authority(&self) -> &str {
        self.origin
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Returns whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }
}

/// Returns whether a host without port names this machine only. A name that resolves to a loopback address does not
/// count, since it can change.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => IpAddr::V6(*ip).to_canonical().is_loopback(),
    }
}

/// Returns whether a `Host` header or authority, with any port, names this machine only.
pub fn is_loopback_authority(authority: &str) -> bool {
    let url = Url::parse(&format!("http://{authority}/"));
    url.is_ok_and(|url| is_plain(&url) && url.host().is_some_and(|host| is_loopback(&host)))
}

/// Returns whether there is only scheme, host and port.
fn is_plain(url: &Url) -> bool {
    url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Not a valid public URL: it has a path, a user or another scheme, or is not a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a portal")]
pub struct InvalidPublicUrl;

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    /// Normalizes like browsers: case, default port, international names, notations of IP addresses.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser also accepts `http:portal.example` and line breaks, which are mistakes here.
        let (scheme, rest) = text.split_once("://").ok_or(InvalidPublicUrl)?;
        let https = scheme.eq_ignore_ascii_case("https");
        if !(https || scheme.eq_ignore_ascii_case("http"))
            || rest.starts_with('/')
            || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
        {
            return Err(InvalidPublicUrl);
        }
        let url = Url::parse(text).map_err(|_| InvalidPublicUrl)?;
        let host = url.host().ok_or(InvalidPublicUrl)?;
        if !is_plain(&url) {
            return Err(InvalidPublicUrl);
        }
        let is_usable = match host {
            Host::Domain(name) => name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
            // Users cannot open the unspecified address.
            Host::Ipv4(ip) => !ip.is_unspecified(),
            Host::Ipv6(ip) => !ip.is_unspecified(),
        };
        if !is_usable {
            return Err(InvalidPublicUrl);
        }
        Ok(Self {
            is_loopback: is_loopback(&host),
            origin: url.origin().ascii_serialization(),
            https,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_url_is_normalized_like_an_origin() {
        for (text, origin) in [
            ("https://portal.example", "https://portal.example"),
            ("https://portal.example/", "https://portal.example"),
            ("HTTPS://Portal.EXAMPLE:443/", "https://portal.example"),
            ("http://portal.example:80", "http://portal.example"),
            ("http://portal.example:443", "http://portal.example:443"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("http://192.0.2.10:3000", "http://192.0.2.10:3000"),
            ("http://[2001:DB8:0::1]:3000", "http://[2001:db8::1]:3000"),
        ] {
            let url: PublicUrl = text.parse().expect(text);
            assert_eq!(url.origin(), origin, "{text}");
            assert_eq!(url.is_https(), origin.starts_with("https"), "{text}");
        }
        for text in [
            "",
            "portal.example",
            "portal.example:8443",
            "//portal.example",
            "http:portal.example",
            "http:///portal.example",
            "https://",
            "https://portal.example/path",
            "https://portal.example?x",
            "https://portal.example/#x",
            "https://user@portal.example",
            "https://por tal.example",
            "https://\"portal.example",
            "https://portal.example\\x",
            "ftp://portal.example",
            "https://portal.example:99999",
            "http://0.0.0.0:3000",
            "http://[::]:3000",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{text}");
        }
    }

    #[test]
    fn listen_address_is_the_default_public_url() {
        for (address, origin, is_loopback) in [
            ("127.0.0.1:3000", "http://127.0.0.1:3000", true),
            ("0.0.0.0:3000", "http://127.0.0.1:3000", true),
            ("[::]:3000", "http://[::1]:3000", true),
            ("192.0.2.10:80", "http://192.0.2.10", false),
        ] {
            let url = PublicUrl::of(address.parse().expect(address));
            assert_eq!(
                (url.origin(), url.is_loopback()),
                (origin, is_loopback),
                "{address}"
            );
        }
    }

    #[test]
    fn only_local_names_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:3000",
            "a.localhost:3000",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback_authority(host), "{host}");
        }
        for host in [
            "",
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.10",
            "0.0.0.0:3000",
            "[::]:3000",
            "evil.example#@localhost",
            "localhost@evil.example",
            "user@localhost",
            "localhost/path",
            "localhost?x",
        ] {
            assert!(!is_loopback_authority(host), "{host}");
        }
    }
}
