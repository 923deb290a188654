//! Settings of alert rules and of the webhook.
//!
//! To add a rule: a field of [`AlertRules`], a line in its `read`, its settings in `settings.rs`, a row in
//! `docs/operations/alerts.md`.

use std::{fmt, net::IpAddr, time::Duration};

use axum::http::Uri;
use data_encoding::BASE64;

use super::{ConfigError, source::Source};

/// Maximum in seconds; a longer time is a mistake.
const YEAR: u64 = 31_536_000;

/// Thresholds of the rules. A rule that is `None` is disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRules {
    /// Time between evaluations.
    pub interval: Duration,
    pub sign_in_failures: Option<FailureRate>,
    pub token_reuse: Option<CountThreshold>,
    pub far_sign_ins: Option<CountThreshold>,
    /// Age of the last complete clean-up.
    pub cleanup_overdue: Option<Duration>,
    /// How long a node's listener has been disconnected.
    pub listener_down: Option<Duration>,
    /// Time between verifications of the whole audit log.
    pub audit_chain: Option<Duration>,
    /// Receiver of alerts in addition to the log.
    pub webhook: Option<Webhook>,
}

/// Failed sign-ins in a time window: at least this many, and this share of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    pub least: u32,
    /// Share of all sign-ins in percent.
    pub percent: u32,
    pub window: Duration,
}

/// At least this many in a time window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountThreshold {
    pub least: u32,
    pub window: Duration,
}

/// A receiver of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub url: WebhookUrl,
    pub secret: WebhookSecret,
}

/// The URL of the webhook. Debug shows the host only, since many services put a secret into the path.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// Accepts `https`, and `http` on this machine.
    fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let allowed = match uri.scheme_str()? {
            "https" => true,
            "http" => loopback,
            _ => false,
        };
        // The HTTP client would drop user and password of a URL: reject them.
        (allowed && !host.is_empty() && !authority.as_str().contains('@')).then_some(Self(uri))
    }

    pub fn reveal(&self) -> &Uri {
        &self.0
    }

    /// Returns the URL without its secret part: `https://hooks.example`.
    pub fn origin(&self) -> String {
        let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
        format!(
            "{}://{}",
            part(self.0.scheme_str()),
            part(self.0.authority().map(|authority| authority.as_str()))
        )
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({}/..)", self.origin())
    }
}

/// The key that signs deliveries. Debug hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    const LEAST: usize = 16;

    /// Decodes `whsec_` and base64 as the Standard Webhooks libraries do. Any other text is the key itself.
    fn read(text: &str) -> Option<Self> {
        let key = match text.strip_prefix("whsec_") {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).ok()?,
            None => text.as_bytes().to_vec(),
        };
        (key.len() >= Self::LEAST).then_some(Self(key))
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

impl AlertRules {
    /// Reads the section. The default of the clean-up rule depends on `cleanup_interval`.
    pub(super) fn read(source: &Source<'_>, cleanup_interval: Duration) -> Result<Self, ConfigError> {
        let sign_in_failures = source.threshold("PORTAL_ALERT_SIGN_IN_FAILURES")?;
        let percent = source.number("PORTAL_ALERT_SIGN_IN_FAILURES_PERCENT")?;
        let failures_window = source.duration("PORTAL_ALERT_SIGN_IN_FAILURES_WINDOW_SECONDS")?;
        let token_reuse = source.threshold("PORTAL_ALERT_TOKEN_REUSE")?;
        let reuse_window = source.duration("PORTAL_ALERT_TOKEN_REUSE_WINDOW_SECONDS")?;
        let far_sign_ins = source.threshold("PORTAL_ALERT_FAR_SIGN_INS")?;
        let far_window = source.duration("PORTAL_ALERT_FAR_SIGN_INS_WINDOW_SECONDS")?;
        Ok(Self {
            interval: source.duration("PORTAL_ALERT_INTERVAL")?,
            sign_in_failures: sign_in_failures.map(|least| FailureRate {
                least,
                percent,
                window: failures_window,
            }),
            token_reuse: token_reuse.map(|least| CountThreshold {
                least,
                window: reuse_window,
            }),
            far_sign_ins: far_sign_ins.map(|least| CountThreshold {
                least,
                window: far_window,
            }),
            cleanup_overdue: source.cleanup_overdue(cleanup_interval)?,
            listener_down: source.seconds_or_off("PORTAL_ALERT_LISTENER_DOWN_SECONDS")?,
            audit_chain: source.seconds_or_off("PORTAL_ALERT_AUDIT_CHAIN_SECONDS")?,
            webhook: source.webhook()?,
        })
    }
}

impl Source<'_> {
    /// Reads a threshold. `None`: the rule is off.
    fn threshold(&self, name: &str) -> Result<Option<u32>, ConfigError> {
        let read = self.value(name, |text| parse_number_or_off(text, 1_000_000))?;
        Ok(u32::try_from(read).ok().filter(|number| *number > 0))
    }

    /// Reads a duration. `None`: the rule is off.
    fn seconds_or_off(&self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let read = self.value(name, |text| parse_number_or_off(text, YEAR))?;
        Ok(Some(Duration::from_secs(read)).filter(|length| !length.is_zero()))
    }

    fn cleanup_overdue(&self, interval: Duration) -> Result<Option<Duration>, ConfigError> {
        const NAME: &str = "PORTAL_ALERT_CLEANUP_OVERDUE_SECONDS";
        let read = self.parse(NAME, |text| parse_number_or_off(text, YEAR))?;
        let length = read.map_or(interval * 3, Duration::from_secs);
        self.note_default(NAME, length.as_secs());
        Ok(Some(length).filter(|length| !length.is_zero()))
    }

    fn webhook(&self) -> Result<Option<Webhook>, ConfigError> {
        const SECRET: &str = "PORTAL_ALERT_WEBHOOK_SECRET";
        let url = self.parse("PORTAL_ALERT_WEBHOOK_URL", WebhookUrl::read)?;
        let secret = self.parse(SECRET, WebhookSecret::read)?;
        match (url, secret) {
            (Some(url), Some(secret)) => Ok(Some(Webhook { url, secret })),
            (Some(_), None) => Err(ConfigError::BadValue {
                place: String::new(),
                name: SECRET.to_owned(),
                value: String::new(),
                expected: "16 characters or more, since PORTAL_ALERT_WEBHOOK_URL is set".to_owned(),
            }),
            (None, _) => Ok(None),
        }
    }
}

/// Parses a number up to `most`, or `off` as 0.
fn parse_number_or_off(text: &str, most: u64) -> Option<u64> {
    match text {
        "off" => Some(0),
        text => text.parse().ok().filter(|number| *number <= most),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<AlertRules, ConfigError> {
        let get = |name: &str| {
            let found = settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(&get, "").map(|config| config.alerts)
    }

    #[test]
    fn each_rule_is_on_and_can_be_disabled() {
        let rules = read(&[]).expect("defaults");
        assert_eq!(rules.cleanup_overdue, Some(Duration::from_secs(3 * 3600)));
        assert!(rules.webhook.is_none() && rules.sign_in_failures.is_some());
        for off in ["0", "off"] {
            let names = [
                "PORTAL_ALERT_SIGN_IN_FAILURES",
                "PORTAL_ALERT_TOKEN_REUSE",
                "PORTAL_ALERT_FAR_SIGN_INS",
                "PORTAL_ALERT_CLEANUP_OVERDUE_SECONDS",
                "PORTAL_ALERT_LISTENER_DOWN_SECONDS",
                "PORTAL_ALERT_AUDIT_CHAIN_SECONDS",
            ];
            let rules = read(&names.map(|name| (name, off))).expect("all off");
            let none = AlertRules {
                interval: Duration::from_secs(30),
                sign_in_failures: None,
                token_reuse: None,
                far_sign_ins: None,
                cleanup_overdue: None,
                listener_down: None,
                audit_chain: None,
                webhook: None,
            };
            assert_eq!(rules, none);
        }
    }

    #[test]
    fn invalid_value_names_its_variable_without_secrets() {
        let url = ("PORTAL_ALERT_WEBHOOK_URL", "https://hooks.example/T0/B0");
        for (settings, name) in [
            (&[("PORTAL_ALERT_INTERVAL", "0")][..], "PORTAL_ALERT_INTERVAL"),
            (
                &[("PORTAL_ALERT_TOKEN_REUSE", "never")],
                "PORTAL_ALERT_TOKEN_REUSE",
            ),
            (
                &[("PORTAL_ALERT_SIGN_IN_FAILURES_PERCENT", "101")],
                "PORTAL_ALERT_SIGN_IN_FAILURES_PERCENT",
            ),
            (
                &[("PORTAL_ALERT_AUDIT_CHAIN_SECONDS", "-1")],
                "PORTAL_ALERT_AUDIT_CHAIN_SECONDS",
            ),
            (&[url], "PORTAL_ALERT_WEBHOOK_SECRET"),
            (
                &[url, ("PORTAL_ALERT_WEBHOOK_SECRET", "hunter2")],
                "PORTAL_ALERT_WEBHOOK_SECRET",
            ),
            (
                &[
                    url,
                    ("PORTAL_ALERT_WEBHOOK_SECRET", "whsec_hunter2hunter2!hunter2"),
                ],
                "PORTAL_ALERT_WEBHOOK_SECRET",
            ),
            (
                &[("PORTAL_ALERT_WEBHOOK_URL", "http://hooks.example/hunter2")],
                "PORTAL_ALERT_WEBHOOK_URL",
            ),
            (
                &[("PORTAL_ALERT_WEBHOOK_URL", "https://me:hunter2@hooks.example/")],
                "PORTAL_ALERT_WEBHOOK_URL",
            ),
        ] {
            let line = read(settings).expect_err(name).to_string();
            assert!(
                line.starts_with(name) && !line.contains('\n') && !line.contains("hunter2"),
                "{line}"
            );
        }
    }

    #[test]
    fn debug_hides_secret_and_path() {
        for secret in [
            "a secret of some length",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let rules = read(&[
                ("PORTAL_ALERT_WEBHOOK_URL", "https://hooks.example/T0KEN"),
                ("PORTAL_ALERT_WEBHOOK_SECRET", secret),
            ])
            .expect("settings");
            let shown = format!("{rules:?}");
            assert!(shown.contains("https://hooks.example/.."), "{shown}");
            assert!(!shown.contains("T0KEN") && !shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn http_is_accepted_on_loopback_only() {
        for fine in [
            "http://localhost:9000/hook",
            "http://127.0.0.1/",
            "http://[::1]:8/x",
            "https://hooks.example",
        ] {
            assert!(WebhookUrl::read(fine).is_some(), "{fine}");
        }
        for wrong in [
            "http://10.0.0.1/",
            "http://localhost.example/",
            "ftp://localhost/",
            "hooks.example/x",
            "/hook",
        ] {
            assert!(WebhookUrl::read(wrong).is_none(), "{wrong}");
        }
    }
}
