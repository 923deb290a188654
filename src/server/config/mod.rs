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
mod tests;
