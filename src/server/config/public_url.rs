//! The address that people type.

use std::{net::SocketAddr, str::FromStr};

use axum::http::Uri;

/// What people type to reach the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port, as a browser writes it in `Origin`.
    origin: String,
    host: String,
    https: bool,
}

impl PublicUrl {
    /// The listen address itself, where nothing stands in front of the server.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            origin: format!("http://{address}"),
            host: address.ip().to_string(),
            https: false,
        }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port, as they stand after the `//`.
    pub fn authority(&self) -> &str {
        self.origin
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Reachable from this machine only.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// What was written is no address of a portal: it has a path, a user, another scheme, or is no address at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a portal")]
pub struct NotPublicUrl;

impl FromStr for PublicUrl {
    type Err = NotPublicUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| NotPublicUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(NotPublicUrl);
        };
        let plain =
            matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        if !matches!(scheme, "http" | "https") || !plain {
            return Err(NotPublicUrl);
        }
        let default_port = if scheme == "https" { 443 } else { 80 };
        let host = authority.host().to_ascii_lowercase();
        let origin = match authority.port_u16() {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        };
        Ok(Self {
            origin,
            host,
            https: scheme == "https",
        })
    }
}
