//! Warnings about valid settings that are probably mistakes.

use super::{Config, trusted_proxies};

impl Config {
    /// Returns warnings for the operator, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.site_addr.ip().is_unspecified() && !self.public_url_is_set {
            warnings.push(format!(
                "LEPTOS_SITE_ADDR={} listens on every interface and PORTAL_PUBLIC_URL is not set: sign-in works at {} \
                 only. Set PORTAL_PUBLIC_URL to the address that people open",
                self.site_addr,
                self.public_url.origin()
            ));
        }
        for network in self
            .trusted_proxies
            .iter()
            .filter(|net| trusted_proxies::is_too_wide(net))
        {
            warnings.push(format!(
                "PORTAL_TRUSTED_PROXIES contains {network}: clients in this network can choose the address that is \
                 recorded and rate-limited. Name your proxies only"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(settings: &[(&str, &str)]) -> Vec<String> {
        let read = |name: &str| {
            let found = settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(&read, "").expect("settings").warnings()
    }

    #[test]
    fn unknown_public_url_is_warned_about() {
        for address in ["0.0.0.0:3000", "[::]:3000"] {
            let lines = warnings(&[("LEPTOS_SITE_ADDR", address)]);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(
                lines[0].contains(address) && lines[0].contains("PORTAL_PUBLIC_URL"),
                "{lines:?}"
            );
        }
        for settings in [
            &[][..],
            &[("LEPTOS_SITE_ADDR", "192.0.2.10:3000")],
            &[
                ("LEPTOS_SITE_ADDR", "0.0.0.0:3000"),
                ("PORTAL_PUBLIC_URL", "https://portal.example"),
            ],
        ] {
            assert_eq!(warnings(settings), Vec::<String>::new());
        }
    }

    #[test]
    fn wide_trusted_networks_are_warned_about() {
        for (networks, wide) in [
            ("0.0.0.0/0", 1),
            ("::/0, 0.0.0.0/1", 2),
            ("10.0.0.0/8,fc00::/7", 0),
        ] {
            let lines = warnings(&[("PORTAL_TRUSTED_PROXIES", networks)]);
            assert_eq!(lines.len(), wide, "{lines:?}");
            assert!(lines.iter().all(|line| line.contains("PORTAL_TRUSTED_PROXIES")));
        }
    }
}
