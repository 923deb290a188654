//! What an operator can set: environment variables over an optional `portal.toml` with the same names.
//!
//! To add a setting: a field, a line in [`Config::read`], a row in `docs/configuration.md`.

pub mod alerts;

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use axum::http::Uri;
use ipnet::IpNet;

use self::alerts::AlertRules;
use crate::domain::{
    policy::{RolePolicy, SessionPolicy},
    user::Role,
};

/// Everything that can be set, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unset: a private cluster below `data_dir`.
    pub database_url: Option<DatabaseUrl>,
    pub data_dir: PathBuf,
    pub site_addr: SocketAddr,
    pub public_url: PublicUrl,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Create the demo accounts at start.
    pub demo: bool,
    pub policy: SessionPolicy,
    /// How long after a password check sensitive actions need no new one.
    pub reauth: Duration,
    /// So many seconds before a session's end its person is warned. 0: not at all.
    pub warning_seconds: u32,
    pub access_token: Duration,
    pub throttle: Throttle,
    pub suspicion: Suspicion,
    pub alerts: AlertRules,
    /// Time between two clean-ups.
    pub cleanup_interval: Duration,
    /// How long ended sessions are kept.
    pub retention: Duration,
    pub site_root: PathBuf,
}

/// How many refused passwords are allowed in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// On one account; and, each for itself, on devices that have signed in to it before.
    pub attempts: u32,
    /// From one address, on whatever accounts.
    pub attempts_per_address: u32,
    pub window: Duration,
}

/// What is found unusual, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// A session that turns up in another client is ended.
    pub end_on_client_change: bool,
    pub new_device: bool,
    pub new_network: bool,
    /// Another network so soon after the last activity elsewhere is unusual. `None`: it is not.
    pub far_networks: Option<Duration>,
    /// So many refused passwords before the right one are unusual. `None`: they are not.
    pub failures: Option<u32>,
}

/// A connection string; it may hold a password, so its Debug shows nothing.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

/// What people type to reach the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port, as a browser writes it in `Origin`.
    origin: String,
    host: String,
    https: bool,
}

impl PublicUrl {
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

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "an address such as https://portal.example, without a path".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let plain =
            matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        if !matches!(scheme, "http" | "https") || !plain {
            return Err(wrong());
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

/// One setting is not usable. Its Display is the one line that an operator reads.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{name}={value:?} is not usable: expected {expected}")]
    BadValue {
        name: String,
        value: String,
        expected: String,
    },
    #[error("portal.toml: {0}")]
    File(String),
    #[error(
        "PORTAL_DEMO=on is refused: PORTAL_PUBLIC_URL is {0}, which others can reach, and the demo passwords are public"
    )]
    DemoInPublic(String),
}

/// Variables of ours that other parts read by themselves.
const READ_ELSEWHERE: [&str; 1] = ["PORTAL_POSTGRES_BIN"];

/// Where a setting's text comes from.
struct Source<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: HashMap<String, String>,
    /// Every name that was asked for: what else is set has no meaning.
    asked: RefCell<BTreeSet<String>>,
}

impl Source<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.asked.borrow_mut().insert(name.to_owned());
        (self.environment)(name)
            .or_else(|| self.file.get(name).cloned())
            .filter(|value| !value.is_empty())
    }

    fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        match read(value.trim()) {
            Some(read) => Ok(Some(read)),
            None => Err(ConfigError::BadValue {
                name: name.to_owned(),
                value,
                expected: expected.to_owned(),
            }),
        }
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.parse(name, "on or off", |text| {
            match text.to_ascii_lowercase().as_str() {
                "on" | "1" | "true" | "yes" => Some(true),
                "off" | "0" | "false" | "no" => Some(false),
                _ => None,
            }
        })
    }

    fn number(&self, name: &str, default: u32, least: u32) -> Result<u32, ConfigError> {
        const MOST: u32 = 1_000_000;
        let read = |text: &str| text.parse().ok().filter(|number| (least..=MOST).contains(number));
        let read = self.parse(name, &format!("a whole number from {least} to {MOST}"), read)?;
        Ok(read.unwrap_or(default))
    }

    fn seconds(&self, name: &str, default: Duration) -> Result<Duration, ConfigError> {
        // Ten years: long enough for anyone, short enough that no sum of times overflows.
        const MOST: u64 = 315_360_000;
        let read = |text: &str| text.parse().ok().filter(|seconds| (1..=MOST).contains(seconds));
        let read = self.parse(name, "a whole number of seconds, 1 or more", read)?;
        Ok(read.map_or(default, Duration::from_secs))
    }
}

impl Config {
    /// Reads the environment and `portal.toml` of the folder that the server was started in.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let file = match std::fs::read_to_string("portal.toml") {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ConfigError::File(error.to_string())),
        };
        let (config, known) = Self::read_all(&|name| std::env::var(name).ok(), &file)?;
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PORTAL_") && !known.contains(&*name) && !READ_ELSEWHERE.contains(&&*name) {
                tracing::warn!(%name, "the environment holds a variable that is no setting: is its name misspelt?");
            }
        }
        Ok(config)
    }

    /// Reads settings from `environment`, then from the text of a `portal.toml`.
    ///
    /// # Errors
    /// The first setting that does not fit, by its name.
    pub fn read(environment: &dyn Fn(&str) -> Option<String>, toml: &str) -> Result<Self, ConfigError> {
        Self::read_all(environment, toml).map(|(config, _)| config)
    }

    /// The settings, and the names of all there are.
    fn read_all(
        environment: &dyn Fn(&str) -> Option<String>,
        toml: &str,
    ) -> Result<(Self, BTreeSet<String>), ConfigError> {
        let source = Source {
            environment,
            file: flat_table(toml)?,
            asked: RefCell::default(),
        };

        let database_url = source.text("DATABASE_URL").map(DatabaseUrl);
        let site_addr = source
            .parse(
                "LEPTOS_SITE_ADDR",
                "an address and a port such as 127.0.0.1:3000",
                |text| text.parse().ok(),
            )?
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 3000)));
        let public_url = match source.text("PORTAL_PUBLIC_URL") {
            Some(value) => value.trim().parse().map_err(|expected| ConfigError::BadValue {
                name: "PORTAL_PUBLIC_URL".to_owned(),
                value,
                expected,
            })?,
            None => PublicUrl {
                origin: format!("http://{site_addr}"),
                host: site_addr.ip().to_string(),
                https: false,
            },
        };
        let trusted_proxies = source
            .parse(
                "PORTAL_TRUSTED_PROXIES",
                "addresses or networks such as 10.0.0.0/8,192.0.2.1",
                |text| text.split(',').map(|net| network(net.trim())).collect(),
            )?
            .unwrap_or_default();
        let demo = source
            .switch("PORTAL_DEMO")?
            // By itself only where nobody else gets in.
            .unwrap_or(database_url.is_none() && public_url.is_loopback());
        if demo && !public_url.is_loopback() {
            return Err(ConfigError::DemoInPublic(public_url.origin));
        }

        let mut policy = SessionPolicy::default();
        for role in Role::ALL {
            let default = policy.of(role);
            // A system administrator lives by the administrators' limits.
            let suffix = if role == Role::SystemAdmin {
                Role::Admin
            } else {
                role
            }
            .as_str()
            .to_uppercase();
            let most = format!("PORTAL_MAX_SESSIONS_{suffix}");
            let count = |text: &str| text.parse().ok().filter(|n| (1..=1000).contains(n));
            policy.set(
                role,
                RolePolicy {
                    idle: source.seconds(&format!("PORTAL_SESSION_TIMEOUT_{suffix}"), default.idle)?,
                    lifetime: source
                        .seconds(&format!("PORTAL_SESSION_LIFETIME_{suffix}"), default.lifetime)?,
                    max_sessions: source
                        .parse(&most, "a whole number from 1 to 1000", count)?
                        .unwrap_or(default.max_sessions),
                },
            );
        }

        let throttle = Throttle {
            attempts: source.number("PORTAL_SIGN_IN_ATTEMPTS", 5, 1)?,
            attempts_per_address: source.number("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", 100, 1)?,
            window: source.seconds("PORTAL_SIGN_IN_WINDOW_SECONDS", Duration::from_secs(900))?,
        };
        let far = source.number("PORTAL_NOTICE_FAR_NETWORKS_SECONDS", 300, 0)?;
        let failures = source.number("PORTAL_NOTICE_FAILURES", 3, 0)?;
        let suspicion = Suspicion {
            end_on_client_change: source.switch("PORTAL_END_ON_CLIENT_CHANGE")?.unwrap_or(true),
            new_device: source.switch("PORTAL_NOTICE_NEW_DEVICE")?.unwrap_or(true),
            new_network: source.switch("PORTAL_NOTICE_NEW_NETWORK")?.unwrap_or(true),
            far_networks: (far > 0).then(|| Duration::from_secs(far.into())),
            failures: (failures > 0).then_some(failures),
        };
        let cleanup_interval = source.seconds("PORTAL_CLEANUP_INTERVAL", Duration::from_secs(3600))?;
        let retention_days = source.number("PORTAL_RETENTION_DAYS", 30, 1)?;

        let config = Self {
            database_url,
            data_dir: source
                .text("PORTAL_DATA_DIR")
                .unwrap_or_else(|| ".data".to_owned())
                .into(),
            site_addr,
            public_url,
            trusted_proxies,
            demo,
            policy,
            reauth: source.seconds("PORTAL_REAUTH_SECONDS", Duration::from_secs(1800))?,
            warning_seconds: source.number("PORTAL_WARNING_SECONDS", 300, 0)?,
            access_token: source.seconds("PORTAL_ACCESS_TOKEN_SECONDS", Duration::from_secs(900))?,
            throttle,
            suspicion,
            alerts: AlertRules::read(&source, cleanup_interval)?,
            cleanup_interval,
            retention: Duration::from_secs(u64::from(retention_days) * 86_400),
            site_root: source
                .text("LEPTOS_SITE_ROOT")
                .map_or_else(default_site_root, PathBuf::from),
        };
        let known = source.asked.into_inner();
        match source.file.keys().find(|name| !known.contains(*name)) {
            Some(name) => Err(ConfigError::File(format!("{name} is no setting"))),
            None => Ok((config, known)),
        }
    }

    /// The session cookie's name. With https the `__Host-` prefix makes browsers insist on Secure, Path=/ and no
    /// Domain (RFC 6265bis, 4.1.3.2).
    pub fn cookie_name(&self) -> &'static str {
        if self.public_url.is_https() {
            "__Host-portal_session"
        } else {
            "portal_session"
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// The site stands beside a released server; a development build keeps it in `target/site`.
fn default_site_root() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|folder| folder.join("site")))
        .filter(|site| site.is_dir())
        .unwrap_or_else(|| PathBuf::from("target/site"))
}

fn flat_table(toml: &str) -> Result<HashMap<String, String>, ConfigError> {
    let table: toml::Table = toml
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::File(error.message().replace('\n', " ")))?;
    table
        .into_iter()
        .map(|(name, value)| {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(on) => on.to_string(),
                _ => {
                    return Err(ConfigError::File(format!(
                        "{name} is text, a number or true/false"
                    )));
                }
            };
            Ok((name, text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
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
    fn nothing_set_is_a_demo_on_this_machine() {
        let config = read(&[], "").expect("defaults");
        assert!(config.demo && config.database_url.is_none());
        assert_eq!(config.public_url.origin(), "http://127.0.0.1:3000");
        assert_eq!(config.cookie_name(), "portal_session");
        assert_eq!(config.policy, SessionPolicy::default());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let toml = "PORTAL_SESSION_TIMEOUT_BROKER = 60\nPORTAL_MAX_SESSIONS_BROKER = 7";
        let config = read(&[("PORTAL_SESSION_TIMEOUT_BROKER", "90")], toml).expect("settings");
        assert_eq!(config.policy.of(Role::Broker).idle, Duration::from_secs(90));
        assert_eq!(config.policy.of(Role::Broker).max_sessions, 7);
    }

    #[test]
    fn a_bad_value_names_its_variable_in_one_line() {
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
        ] {
            let line = read(&[(name, value)], "").expect_err(name).to_string();
            assert!(line.contains(name) && !line.contains('\n'), "{line}");
        }
        assert!(matches!(read(&[], "a = [1]"), Err(ConfigError::File(_))));
        let misspelt = read(&[], "PORTAL_SESION_TIMEOUT_BROKER = 60").expect_err("no setting");
        assert!(misspelt.to_string().contains("PORTAL_SESION_TIMEOUT_BROKER"));
    }

    #[test]
    fn a_warning_comes_five_minutes_before_the_end_or_as_set_or_never() {
        let warning = |settings: &[(&str, &str)], toml: &str| {
            let config = read(settings, toml).expect("settings");
            config.warning_seconds
        };
        assert_eq!(warning(&[], ""), 300);
        assert_eq!(warning(&[("PORTAL_WARNING_SECONDS", "0")], ""), 0);
        assert_eq!(warning(&[], "PORTAL_WARNING_SECONDS = 60"), 60);
    }

    #[test]
    fn demo_accounts_are_refused_where_others_can_reach_them() {
        let public = ("PORTAL_PUBLIC_URL", "https://portal.example");
        assert!(matches!(
            read(&[public, ("PORTAL_DEMO", "on")], ""),
            Err(ConfigError::DemoInPublic(_))
        ));
        let config = read(&[public], "").expect("settings");
        assert!(!config.demo);
        assert_eq!(config.cookie_name(), "__Host-portal_session");
        assert!(
            !read(&[("LEPTOS_SITE_ADDR", "0.0.0.0:3000")], "")
                .expect("settings")
                .demo
        );
    }

    #[test]
    fn debug_shows_no_password() {
        let config = read(&[("DATABASE_URL", "postgres://portal:hunter2@db/portal")], "").expect("settings");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
