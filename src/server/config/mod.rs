//! Settings for operators: environment variables, which override `portal.toml`.
//!
//! To add a setting:
//! 1. Add an entry to [`settings::SECTIONS`] with name, kind, default and meaning. Add `.environment_only()` if a library
//!    reads it, and `.secret()` if it must never be printed.
//! 2. Add a field to [`Config`], and a line to [`Config::read`] that reads it from the [`Source`].
//! 3. Run `UPDATE_DOCS=1 cargo test --features ssr --lib config::document` to update `docs/configuration.md`.
//!
//! Tests report missing steps.

pub mod alerts;
mod database_url;
#[cfg(test)]
mod document;
pub mod public_url;
pub mod settings;
mod source;
mod trusted_proxies;
mod warnings;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

pub use database_url::{DatabaseUrl, InvalidDatabaseUrl};
pub use public_url::PublicUrl;
pub use source::{ResolvedSetting, ResolvedSettings, SettingOrigin};

use self::alerts::AlertRules;
use domain::{
    policy::{RolePolicy, SessionPolicy},
    user::Role,
};
use source::Source;

/// All settings, parsed and validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// `None`: a private cluster in `data_dir`.
    pub database_url: Option<DatabaseUrl>,
    pub data_dir: PathBuf,
    pub site_addr: SocketAddr,
    pub public_url: PublicUrl,
    /// Whether an operator set `public_url`; otherwise it is derived from `site_addr`.
    pub public_url_is_set: bool,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether to create demo accounts at startup.
    pub demo: bool,
    pub policy: SessionPolicy,
    /// How long a password check is recent enough for sensitive actions.
    pub reauth: Duration,
    /// Seconds before the expiry at which users are warned. 0: never.
    pub warning_seconds: u32,
    pub access_token: Duration,
    pub throttle: Throttle,
    pub rate_limits: RateLimits,
    pub suspicion: Suspicion,
    pub alerts: AlertRules,
    /// Time between clean-ups.
    pub cleanup_interval: Duration,
    /// How long ended sessions are kept.
    pub retention: Duration,
    pub site_root: PathBuf,
    /// `None`: tracing is off.
    pub traces: Option<TraceSettings>,
}

/// Where traces are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    /// URL of the collector, with the path for traces.
    pub endpoint: String,
    /// Name of this portal in traces.
    pub service_name: String,
}

/// Failed sign-ins allowed in a time window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Per account, and separately per device that is known to it.
    pub attempts: u32,
    /// Per address, over all accounts.
    pub attempts_per_address: u32,
    pub window: Duration,
}

/// Limits on the rate of expensive actions, whatever their result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    pub per_account: RateLimit,
    pub per_address: RateLimit,
}

/// Number of actions per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub most: u32,
    pub window: Duration,
}

/// Suspicion rules and their effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Revoke a session that appears in another client.
    pub end_on_client_change: bool,
    pub new_device: bool,
    pub new_network: bool,
    /// Raise a notice if the network changes within this time. `None`: never.
    pub far_networks: Option<Duration>,
    /// Raise a notice after this many failures before the correct password. `None`: never.
    pub failures: Option<u32>,
}

/// An invalid setting. Display is one line for the operator.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{place}{name}={value:?} is not usable: expected {expected}")]
    BadValue {
        /// The line in `portal.toml` followed by a colon, or empty.
        place: String,
        name: String,
        value: String,
        expected: String,
    },
    #[error("{0}")]
    File(String),
    #[error("{place}DATABASE_URL {problem}")]
    DatabaseUrl {
        place: String,
        problem: InvalidDatabaseUrl,
    },
    #[error(
        "PORTAL_DEMO=on is refused: LEPTOS_SITE_ADDR ({site_addr}) and PORTAL_PUBLIC_URL ({public_url}) must both be loopback \
         addresses, since the demo passwords are public"
    )]
    DemoInPublic {
        site_addr: SocketAddr,
        public_url: String,
    },
    #[error(
        "PORTAL_DEMO=on is refused: PORTAL_TRUSTED_PROXIES is set, and behind a proxy everyone could use the demo accounts, \
         whose passwords are public. Unset one of the two"
    )]
    DemoBehindProxy,
}

impl Config {
    /// Reads the environment, and `portal.toml` in the working directory.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::resolve_from_environment().map(|(config, _)| config)
    }

    /// Like [`Self::from_environment`], with the value and origin of every setting, including those that libraries
    /// read.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn resolve_from_environment() -> Result<(Self, ResolvedSettings), ConfigError> {
        let file = match std::fs::read_to_string("portal.toml") {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ConfigError::File(format!("portal.toml cannot be read: {error}"))),
        };
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if value.to_str().is_none() && settings::find(&name).is_some() {
                return Err(source::not_utf8_error(&name));
            }
        }
        let environment = |name: &str| std::env::var(name).ok();
        let read = Self::resolve(&environment, &file)?;
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PORTAL_") && settings::find(&name).is_none() {
                tracing::warn!(%name, "unknown environment variable, maybe misspelt");
            }
        }
        Ok(read)
    }

    /// Reads settings from `environment`, then from the text of a `portal.toml`.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn read(environment: &dyn Fn(&str) -> Option<String>, toml: &str) -> Result<Self, ConfigError> {
        Self::resolve(environment, toml).map(|(config, _)| config)
    }

    fn resolve(
        environment: &dyn Fn(&str) -> Option<String>,
        toml: &str,
    ) -> Result<(Self, ResolvedSettings), ConfigError> {
        let source = Source::new(environment, toml)?;
        let database_url = source.database_url()?;
        let site_addr = source.value("LEPTOS_SITE_ADDR", |text| text.parse().ok())?;
        let public_url = source.parse("PORTAL_PUBLIC_URL", |text| text.parse().ok())?;
        let public_url_is_set = public_url.is_some();
        let public_url = public_url.unwrap_or_else(|| PublicUrl::of(site_addr));
        source.note_default("PORTAL_PUBLIC_URL", public_url.origin());
        let trusted_proxies = source
            .parse("PORTAL_TRUSTED_PROXIES", trusted_proxies::parse)?
            .unwrap_or_default();
        let refused = demo_refusal(site_addr, &public_url, &trusted_proxies);
        let asked = source.switch_if_set("PORTAL_DEMO")?;
        if asked.is_none() && database_url.is_none() && refused == Some(ConfigError::DemoBehindProxy) {
            tracing::info!(
                setting = "PORTAL_TRUSTED_PROXIES",
                "no demo accounts: proxies are configured"
            );
        }
        // On by default only if other machines have no access.
        let demo = asked.unwrap_or(database_url.is_none() && refused.is_none());
        if let Some(error) = refused.filter(|_| demo) {
            return Err(error);
        }
        source.note_default("PORTAL_DEMO", if demo { "on" } else { "off" });
        let site_root = source
            .text("LEPTOS_SITE_ROOT")
            .map_or_else(default_site_root, PathBuf::from);
        source.note_default("LEPTOS_SITE_ROOT", site_root.display());

        let mut policy = SessionPolicy::default();
        for role in Role::ALL {
            // A system administrator has the administrators' limits.
            let like = if role == Role::SystemAdmin {
                Role::Admin
            } else {
                role
            };
            let name = |pattern| Source::name_for_role(pattern, like);
            policy.set(
                role,
                RolePolicy {
                    idle: source.duration(&name("PORTAL_SESSION_TIMEOUT_<ROLE>"))?,
                    lifetime: source.duration(&name("PORTAL_SESSION_LIFETIME_<ROLE>"))?,
                    max_sessions: source.number(&name("PORTAL_MAX_SESSIONS_<ROLE>"))?,
                },
            );
        }

        let throttle = Throttle {
            attempts: source.number("PORTAL_SIGN_IN_ATTEMPTS")?,
            attempts_per_address: source.number("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS")?,
            window: source.duration("PORTAL_SIGN_IN_WINDOW_SECONDS")?,
        };
        let rate_limit = |most| RateLimit {
            most,
            window: throttle.window,
        };
        let rate_limits = RateLimits {
            per_account: rate_limit(source.number("PORTAL_ACTIONS_PER_ACCOUNT")?),
            per_address: rate_limit(source.number("PORTAL_ACTIONS_PER_ADDRESS")?),
        };
        let far_networks = source.duration("PORTAL_NOTICE_FAR_NETWORKS_SECONDS")?;
        let failures = source.number("PORTAL_NOTICE_FAILURES")?;
        let suspicion = Suspicion {
            end_on_client_change: source.switch("PORTAL_END_ON_CLIENT_CHANGE")?,
            new_device: source.switch("PORTAL_NOTICE_NEW_DEVICE")?,
            new_network: source.switch("PORTAL_NOTICE_NEW_NETWORK")?,
            far_networks: (!far_networks.is_zero()).then_some(far_networks),
            failures: (failures > 0).then_some(failures),
        };
        let service_name = source.value("OTEL_SERVICE_NAME", |text| Some(text.to_owned()))?;
        let collector = source.parse("OTEL_EXPORTER_OTLP_ENDPOINT", collector_address)?;
        let traces = collector.map(|endpoint| TraceSettings {
            endpoint,
            service_name,
        });
        let cleanup_interval = source.duration("PORTAL_CLEANUP_INTERVAL")?;

        let config = Self {
            database_url,
            data_dir: source.value("PORTAL_DATA_DIR", |text| Some(text.into()))?,
            site_addr,
            public_url,
            public_url_is_set,
            trusted_proxies,
            demo,
            policy,
            reauth: source.duration("PORTAL_REAUTH_SECONDS")?,
            warning_seconds: source.number("PORTAL_WARNING_SECONDS")?,
            access_token: source.duration("PORTAL_ACCESS_TOKEN_SECONDS")?,
            throttle,
            rate_limits,
            suspicion,
            alerts: AlertRules::read(&source, cleanup_interval)?,
            cleanup_interval,
            retention: source.duration("PORTAL_RETENTION_DAYS")?,
            site_root,
            traces,
        };
        Ok((config, source.finish()?))
    }

    /// Returns why this server may not have demo accounts, if so.
    pub fn demo_refusal(&self) -> Option<ConfigError> {
        demo_refusal(self.site_addr, &self.public_url, &self.trusted_proxies)
    }

    /// Returns the name of the session cookie. With https, the prefix `__Host-` makes browsers require Secure, Path=/
    /// and no Domain (RFC 6265bis, 4.1.3.2).
    pub fn cookie_name(&self) -> &'static str {
        if self.public_url.is_https() {
            "__Host-portal_session"
        } else {
            "portal_session"
        }
    }
}

/// Both addresses must be loopback: a public listener is reachable whatever the public URL says, and so is a private
/// one behind a proxy.
fn demo_refusal(
    site_addr: SocketAddr,
    public_url: &PublicUrl,
    trusted_proxies: &[IpNet],
) -> Option<ConfigError> {
    let is_private = site_addr.ip().to_canonical().is_loopback() && public_url.is_loopback();
    if !is_private {
        return Some(ConfigError::DemoInPublic {
            site_addr,
            public_url: public_url.origin().to_owned(),
        });
    }
    (!trusted_proxies.is_empty()).then_some(ConfigError::DemoBehindProxy)
}

/// Adds the path for traces to the collector's URL.
fn collector_address(text: &str) -> Option<String> {
    let uri: axum::http::Uri = text.trim().parse().ok()?;
    let is_plain = uri.query().is_none() && !uri.authority()?.as_str().contains('@');
    (is_plain && matches!(uri.scheme_str()?, "http" | "https"))
        .then(|| format!("{}/v1/traces", text.trim().trim_end_matches('/')))
}

/// A release has its site beside the program; a development build has it in `target/site`.
fn default_site_root() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|folder| folder.join("site")))
        .filter(|site| site.is_dir())
        .unwrap_or_else(|| PathBuf::from("target/site"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(settings: &[(&str, &str)], toml: &str) -> Result<Config, ConfigError> {
        let get = |name: &str| {
            settings
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.to_string())
        };
        Config::read(&get, toml)
    }

    #[test]
    fn deployment_example_uses_valid_settings() {
        let lines = include_str!("../../../deploy/portal.env").lines();
        let set: std::collections::HashMap<_, _> = lines
            .filter_map(|line| line.trim_start_matches('#').split_once('='))
            .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .collect();
        let get = |name: &str| set.get(name).map(|value| (*value).to_owned());
        let config = Config::read(&get, "").expect("usable");
        assert!(config.public_url.is_https() && !config.demo && set.len() >= 9);
        for name in set.keys() {
            assert!(settings::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn defaults_are_a_local_demo() {
        let config = read(&[], "").expect("defaults");
        assert!(config.demo && config.database_url.is_none());
        assert_eq!(config.public_url.origin(), "http://127.0.0.1:3000");
        assert_eq!(config.cookie_name(), "portal_session");
        assert_eq!(config.policy, SessionPolicy::default());
    }

    #[test]
    fn environment_overrides_the_file() {
        let toml = "PORTAL_SESSION_TIMEOUT_BROKER = 60\nPORTAL_MAX_SESSIONS_BROKER = 7";
        let config = read(&[("PORTAL_SESSION_TIMEOUT_BROKER", "90")], toml).expect("settings");
        assert_eq!(config.policy.for_role(Role::Broker).idle, Duration::from_secs(90));
        assert_eq!(config.policy.for_role(Role::Broker).max_sessions, 7);
    }

    #[test]
    fn invalid_value_names_its_variable_in_one_line() {
        for (name, value) in [
            ("LEPTOS_SITE_ADDR", "localhost"),
            ("PORTAL_PUBLIC_URL", "portal.example/path"),
            ("PORTAL_TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
            ("PORTAL_DEMO", "perhaps"),
            ("PORTAL_SESSION_TIMEOUT_GUEST", "0"),
            ("PORTAL_SESSION_LIFETIME_ADMIN", "9999999999999999999"),
            ("PORTAL_MAX_SESSIONS_VENDOR", "-1"),
            ("PORTAL_SIGN_IN_ATTEMPTS", "0"),
            ("PORTAL_SIGN_IN_WINDOW_SECONDS", "soon"),
            ("PORTAL_END_ON_CLIENT_CHANGE", "maybe"),
            ("PORTAL_NOTICE_FAILURES", "-3"),
            ("PORTAL_WARNING_SECONDS", "-1"),
            ("PORTAL_WARNING_SECONDS", "five minutes"),
            ("PORTAL_CLEANUP_INTERVAL", "0"),
            ("PORTAL_RETENTION_DAYS", "0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://name:secret@collector"),
        ] {
            let line = read(&[(name, value)], "").expect_err(name).to_string();
            assert!(line.contains(name) && !line.contains('\n'), "{line}");
        }
        assert!(matches!(read(&[], "a = [1]"), Err(ConfigError::File(_))));
        let misspelt = read(&[], "PORTAL_SESION_TIMEOUT_BROKER = 60").expect_err("no setting");
        assert!(misspelt.to_string().contains("PORTAL_SESION_TIMEOUT_BROKER"));
    }

    #[test]
    fn warning_time_has_a_default_and_can_change() {
        let warning = |settings: &[(&str, &str)], toml: &str| {
            let config = read(settings, toml).expect("settings");
            config.warning_seconds
        };
        assert_eq!(warning(&[], ""), 300);
        assert_eq!(warning(&[("PORTAL_WARNING_SECONDS", "0")], ""), 0);
        assert_eq!(warning(&[], "PORTAL_WARNING_SECONDS = 60"), 60);
    }

    #[test]
    fn tracing_is_off_without_a_collector() {
        let traces = |settings: &[(&str, &str)]| read(settings, "").expect("settings").traces;
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318/");
        let to = |service_name: &str| {
            Some(TraceSettings {
                endpoint: "http://localhost:4318/v1/traces".to_owned(),
                service_name: service_name.to_owned(),
            })
        };
        assert_eq!(traces(&[("OTEL_SERVICE_NAME", "portal")]), None);
        assert_eq!(traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
        assert_eq!(traces(&[collector]), to("broker-portal"));
        assert_eq!(
            traces(&[collector, ("OTEL_SERVICE_NAME", "portal")]),
            to("portal")
        );
    }

    #[test]
    fn demo_accounts_are_refused_on_public_addresses() {
        let public = ("PORTAL_PUBLIC_URL", "https://portal.example");
        let listener = ("LEPTOS_SITE_ADDR", "0.0.0.0:3000");
        let loopback = ("PORTAL_PUBLIC_URL", "http://localhost:3000");
        for settings in [&[public][..], &[listener], &[listener, loopback]] {
            let line = read(&[settings, &[("PORTAL_DEMO", "on")]].concat(), "").expect_err("public");
            let line = line.to_string();
            assert!(
                line.contains("PORTAL_DEMO")
                    && line.contains("LEPTOS_SITE_ADDR")
                    && line.contains("PORTAL_PUBLIC_URL"),
                "{line}"
            );
            assert!(!read(settings, "").expect("settings").demo, "{settings:?}");
        }
        assert!(read(&[loopback], "").expect("settings").demo);
        let config = read(&[public], "").expect("settings");
        assert!(!config.demo);
        assert_eq!(config.cookie_name(), "__Host-portal_session");
    }

    #[test]
    fn demo_accounts_are_refused_behind_proxies() {
        let proxy = ("PORTAL_TRUSTED_PROXIES", "127.0.0.1");
        let error = read(&[proxy, ("PORTAL_DEMO", "on")], "").expect_err("behind a proxy");
        assert_eq!(error, ConfigError::DemoBehindProxy);
        for name in ["PORTAL_DEMO", "PORTAL_TRUSTED_PROXIES"] {
            assert!(error.to_string().contains(name), "{error}");
        }
        let config = read(&[proxy], "").expect("settings");
        assert!(!config.demo && config.demo_refusal() == Some(ConfigError::DemoBehindProxy));
    }

    /// A setting that is read but not listed has no default and kind; a listed one that is not read has no effect.
    #[test]
    fn settings_list_matches_what_config_reads() {
        let (_, resolved) = Config::resolve(&|_| None, "").expect("defaults");
        let asked: BTreeSet<String> = resolved.into_keys().collect();
        let listed: Vec<String> = settings::all()
            .filter(|setting| !setting.environment_only)
            .flat_map(|setting| setting.roles().map(|role| setting.name_for(role)))
            .collect();
        let once: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(listed.len(), once.len(), "a name stands twice in the list");
        let unlisted: Vec<_> = asked.difference(&once).collect();
        assert!(unlisted.is_empty(), "not in settings::SECTIONS: {unlisted:?}");
        let unread: Vec<_> = once.difference(&asked).collect();
        assert!(unread.is_empty(), "Config::read never asks for {unread:?}");
    }

    #[test]
    fn environment_only_settings_are_rejected_in_the_file() {
        let wrong = read(&[], "RUST_LOG = \"debug\"").expect_err("from the environment only");
        assert!(wrong.to_string().contains("environment only"), "{wrong}");
    }

    #[test]
    fn every_value_names_its_origin() {
        let environment =
            |name: &str| (name == "PORTAL_PUBLIC_URL").then(|| "http://localhost:8080/".to_owned());
        let (_, resolved) = Config::resolve(&environment, "PORTAL_RETENTION_DAYS = 7").expect("settings");
        let answer = |name: &str| (resolved[name].origin, resolved[name].text.as_deref());
        assert_eq!(
            answer("PORTAL_PUBLIC_URL"),
            (SettingOrigin::Environment, Some("http://localhost:8080/"))
        );
        assert_eq!(answer("PORTAL_RETENTION_DAYS"), (SettingOrigin::File, Some("7")));
        assert_eq!(
            answer("PORTAL_SESSION_TIMEOUT_VENDOR"),
            (SettingOrigin::Default, Some("43200"))
        );
        assert_eq!(answer("PORTAL_DEMO"), (SettingOrigin::Default, Some("on")));
        assert_eq!(answer("DATABASE_URL"), (SettingOrigin::Default, None));
    }

    #[test]
    fn debug_shows_no_password() {
        let config = read(&[("DATABASE_URL", "postgres://portal:hunter2@db/portal")], "").expect("settings");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
