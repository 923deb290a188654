//! The list of all settings: name, kind, default and meaning.
//!
//! [`Config`](super::Config), error messages, `broker-portal configuration` and the tables of `docs/configuration.md`
//! all use this list.

use domain::{
    policy::{RolePolicy, SessionPolicy},
    user::Role,
};

/// Placeholder in a name for each of [`ROLES`].
const ROLE: &str = "<ROLE>";

/// Roles with settings. A system administrator has the administrators' limits.
pub const ROLES: [Role; 5] = [
    Role::Guest,
    Role::Employee,
    Role::Vendor,
    Role::Broker,
    Role::Admin,
];

/// Settings under one heading of the documentation.
pub struct Section {
    pub title: &'static str,
    pub settings: &'static [Setting],
}

/// One setting.
pub struct Setting {
    /// Public: renaming breaks installations. May contain `<ROLE>`.
    pub name: &'static str,
    pub kind: ValueKind,
    pub default: DefaultValue,
    /// Description for the documentation, in Markdown.
    pub meaning: &'static str,
    /// Never printed.
    pub secret: bool,
    /// Read from the environment by a library, not by `Config`.
    pub environment_only: bool,
}

/// Which values are valid.
#[derive(Clone, Copy)]
pub enum ValueKind {
    /// `on` or `off`
    Switch,
    /// A whole number of that unit in this inclusive range
    Number { unit: Unit, least: u64, most: u64 },
    /// Text described by these words
    Text(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
    Days,
}

/// The value when nothing is set.
#[derive(Clone, Copy)]
pub enum DefaultValue {
    /// This text, parsed like an operator's
    Is(&'static str),
    /// Derived from other settings or the machine, or none; described in Markdown
    Depends(&'static str),
    /// A value of the role's default policy
    OfRole(fn(RolePolicy) -> u64),
}

use DefaultValue::{Depends, Is, OfRole};
use ValueKind::{Switch, Text};

/// A threshold of a rule.
const COUNT_OR_OFF: ValueKind = Text("a whole number from 1 to 1000000, or 0 or off");

/// A duration of a rule.
const SECONDS_OR_OFF: ValueKind = Text("a whole number of seconds from 1 to 31536000, or 0 or off");

/// Every setting, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Database",
        settings: &[
            Setting::new(
                "DATABASE_URL",
                Text("an address such as `postgres://portal@db.example/portal`"),
                Depends("unset"),
                "Postgres 15 or newer. Unset: a private cluster in `PORTAL_DATA_DIR`, started and stopped with \
                 the server. The user should be allowed to create roles, or have the role `broker_portal_server`: \
                 see [Security](security.md#integrity-of-the-audit-log).",
            )
            .secret(),
            Setting::new(
                "PORTAL_DATA_DIR",
                Text("a folder"),
                Is(".data"),
                "Folder of the private cluster.",
            ),
            Setting::new(
                "PORTAL_POSTGRES_BIN",
                Text("a folder"),
                Depends("found automatically"),
                "Folder with `postgres` and `initdb` for the private cluster.",
            )
            .environment_only(),
        ],
    },
    Section {
        title: "Addresses",
        settings: &[
            Setting::new(
                "LEPTOS_SITE_ADDR",
                Text("an address and a port, such as `127.0.0.1:3000`"),
                Is("127.0.0.1:3000"),
                "Listen address.",
            ),
            Setting::new(
                "LEPTOS_SITE_ROOT",
                Text("a folder"),
                Depends("`site` beside the program, else `target/site`"),
                "Folder with the portal's static files.",
            ),
            Setting::new(
                "PORTAL_PUBLIC_URL",
                Text("an address such as `https://portal.example`, without a path"),
                Depends("`http://` and the listen address; if the server listens on all interfaces, the loopback address \
                 with that port"),
                "The address that users type. Over plain http, browsers can sign in at this address and at \
                 loopback addresses such as `localhost` only. With `https` the cookie is `__Host-portal_session` and \
                 Secure, and browsers must stay on https; \
                 otherwise it is `portal_session`.",
            ),
            Setting::new(
                "PORTAL_TRUSTED_PROXIES",
                Text("addresses or networks such as `10.0.0.0/8,192.0.2.1`"),
                Depends("none"),
                "Proxies whose `X-Forwarded-For` is used: see [Security](security.md#addresses-behind-a-proxy).",
            ),
            Setting::new(
                "PORTAL_DEMO",
                Switch,
                Depends("on with the private cluster on a loopback address without proxies, else off"),
                "Creates the demo accounts. Refused unless `LEPTOS_SITE_ADDR` and `PORTAL_PUBLIC_URL` are \
                 loopback addresses and `PORTAL_TRUSTED_PROXIES` is unset. Requests with another `Host` or \
                 `Origin`, or through a proxy, are refused. A start without demo accounts disables existing ones.",
            ),
        ],
    },
    Section {
        title: "Sessions",
        settings: &[
            Setting::new(
                "PORTAL_SESSION_TIMEOUT_<ROLE>",
                ValueKind::seconds(1),
                OfRole(|policy| policy.idle.as_secs()),
                "Idle timeout: a session expires after this time without activity.",
            ),
            Setting::new(
                "PORTAL_SESSION_LIFETIME_<ROLE>",
                ValueKind::seconds(1),
                OfRole(|policy| policy.lifetime.as_secs()),
                "Lifetime: a session expires after this time in any case.",
            ),
            Setting::new(
                "PORTAL_MAX_SESSIONS_<ROLE>",
                ValueKind::Number {
                    unit: Unit::Count,
                    least: 1,
                    most: 1000,
                },
                OfRole(|policy| u64::from(policy.max_sessions)),
                "Session limit: live sessions per user. A sign-in beyond it revokes the least recently active session.",
            ),
            Setting::new(
                "PORTAL_REAUTH_SECONDS",
                ValueKind::seconds(1),
                Is("1800"),
                "Sensitive actions require the password again if the last check is older than this.",
            ),
            Setting::new(
                "PORTAL_WARNING_SECONDS",
                ValueKind::seconds(0),
                Is("300"),
                "Time between the warning and the expiry of a session; 0: no warning. Clients read it in \
                 `session_state`.",
            ),
            Setting::new(
                "PORTAL_ACCESS_TOKEN_SECONDS",
                ValueKind::seconds(1),
                Is("900"),
                "Lifetime of a desktop app's access token.",
            ),
        ],
    },
    Section {
        title: "Sign-in",
        settings: &[
            Setting::new(
                "PORTAL_SIGN_IN_ATTEMPTS",
                ValueKind::count(1),
                Is("5"),
                "Wrong passwords allowed per account and window. Each known browser, and each desktop app in a network \
                 that it was used from, has its own count. `user set-password` resets it. Reauthentication counts in the \
                 same way.",
            ),
            Setting::new(
                "PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS",
                ValueKind::count(1),
                Is("100"),
                "Wrong passwords allowed per address (a /64 of IPv6) and window, for all accounts together.",
            ),
            Setting::new(
                "PORTAL_SIGN_IN_WINDOW_SECONDS",
                ValueKind::seconds(1),
                Is("900"),
                "Length of the window. It begins with the first wrong password.",
            ),
            Setting::new(
                "PORTAL_ACTIONS_PER_ACCOUNT",
                ValueKind::count(1),
                Is("600"),
                "Rate limit: how often each action is allowed per window, successful or not. Counted per account (sign-ins \
                 from unknown devices, denied requests), per known device (sign-ins) or per session \
                 (reauthentication and password change, extensions, refreshes). Each server counts separately. Above the \
                 limit the response is 429 with the seconds to wait; no session ends.",
            ),
            Setting::new(
                "PORTAL_ACTIONS_PER_ADDRESS",
                ValueKind::count(1),
                Is("6000"),
                "Rate limit per address (a /64 of IPv6), for sign-ins from unknown devices, denied requests and \
                 refreshes with invalid tokens. Choose more than an office behind one address needs.",
            ),
        ],
    },
    Section {
        title: "Suspicion rules",
        settings: &[
            Setting::new(
                "PORTAL_END_ON_CLIENT_CHANGE",
                Switch,
                Is("on"),
                "Revoke a browser's session that is used in a browser with another engine, and a desktop app's session \
                 that is used in a browser.",
            ),
            Setting::new(
                "PORTAL_NOTICE_NEW_DEVICE",
                Switch,
                Is("on"),
                "Security notice about a sign-in in a browser or desktop app that is new to the account.",
            ),
            Setting::new(
                "PORTAL_NOTICE_NEW_NETWORK",
                Switch,
                Is("on"),
                "Security notice about a network that is new to the user.",
            ),
            Setting::new(
                "PORTAL_NOTICE_FAR_NETWORKS_SECONDS",
                ValueKind::seconds(0),
                Is("300"),
                "Security notice about a new network that is far from another network used within this time; 0: never.",
            ),
            Setting::new(
                "PORTAL_NOTICE_FAILURES",
                ValueKind::count(0),
                Is("3"),
                "Security notice about a sign-in after this many refused passwords; 0: never.",
            ),
        ],
    },
    Section {
        title: "Clean-up",
        settings: &[
            Setting::new(
                "PORTAL_CLEANUP_INTERVAL",
                ValueKind::seconds(1),
                Is("3600"),
                "Time between clean-ups.",
            ),
            Setting::new(
                "PORTAL_RETENTION_DAYS",
                ValueKind::Number {
                    unit: Unit::Days,
                    least: 1,
                    most: ValueKind::MAX_COUNT,
                },
                Is("30"),
                "Retention of ended sessions.",
            ),
        ],
    },
    Section {
        title: "Alerts",
        settings: &[
            Setting::new(
                "PORTAL_ALERT_INTERVAL",
                ValueKind::seconds(1),
                Is("30"),
                "Time between evaluations of the alert rules. See [Alerts](operations/alerts.md).",
            ),
            Setting::new(
                "PORTAL_ALERT_SIGN_IN_FAILURES",
                COUNT_OR_OFF,
                Is("20"),
                "Alert when this many sign-ins fail within the window and their share is at least \
                 `PORTAL_ALERT_SIGN_IN_FAILURES_PERCENT`.",
            ),
            Setting::new(
                "PORTAL_ALERT_SIGN_IN_FAILURES_PERCENT",
                ValueKind::Number {
                    unit: Unit::Count,
                    least: 1,
                    most: 100,
                },
                Is("50"),
                "Minimum share of failed sign-ins, in percent.",
            ),
            Setting::new(
                "PORTAL_ALERT_SIGN_IN_FAILURES_WINDOW_SECONDS",
                ValueKind::seconds(1),
                Is("600"),
                "Length of the window.",
            ),
            Setting::new(
                "PORTAL_ALERT_TOKEN_REUSE",
                COUNT_OR_OFF,
                Is("1"),
                "Alert when this many refresh tokens are reused within the window.",
            ),
            Setting::new(
                "PORTAL_ALERT_TOKEN_REUSE_WINDOW_SECONDS",
                ValueKind::seconds(1),
                Is("3600"),
                "Window of `PORTAL_ALERT_TOKEN_REUSE`.",
            ),
            Setting::new(
                "PORTAL_ALERT_FAR_SIGN_INS",
                COUNT_OR_OFF,
                Is("3"),
                "Alert when users appear in distant networks this many times within the window.",
            ),
            Setting::new(
                "PORTAL_ALERT_FAR_SIGN_INS_WINDOW_SECONDS",
                ValueKind::seconds(1),
                Is("3600"),
                "Length of the window.",
            ),
            Setting::new(
                "PORTAL_ALERT_CLEANUP_OVERDUE_SECONDS",
                SECONDS_OR_OFF,
                Depends("three times `PORTAL_CLEANUP_INTERVAL`"),
                "Alert when no clean-up finished within this time.",
            ),
            Setting::new(
                "PORTAL_ALERT_LISTENER_DOWN_SECONDS",
                SECONDS_OR_OFF,
                Is("60"),
                "Alert when a server's listener is disconnected for this time.",
            ),
            Setting::new(
                "PORTAL_ALERT_AUDIT_CHAIN_SECONDS",
                SECONDS_OR_OFF,
                Is("86400"),
                "Time between verifications of the whole audit log.",
            ),
            Setting::new(
                "PORTAL_ALERT_WEBHOOK_URL",
                Text("an https address, or an http address of this machine, without user name and password"),
                Depends("none"),
                "Webhook that receives alerts.",
            )
            .secret(),
            Setting::new(
                "PORTAL_ALERT_WEBHOOK_SECRET",
                Text("16 characters or more, or `whsec_` and base64 of 16 bytes or more"),
                Depends("none"),
                "Key that signs the messages to the webhook.",
            )
            .secret(),
        ],
    },
    Section {
        title: "Log and traces",
        settings: &[
            Setting::new(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                Text("the address of a collector such as `http://localhost:4318`"),
                Depends("unset"),
                "OpenTelemetry collector for traces of requests. Unset: no traces. See \
                 [Traces](operations/traces.md).",
            ),
            Setting::new(
                "OTEL_SERVICE_NAME",
                Text("a name"),
                Is("broker-portal"),
                "Name of this portal in the collector.",
            ),
            Setting::new(
                "RUST_LOG",
                Text("directives of `EnvFilter` (tracing), such as `info,broker_portal=debug`"),
                Depends("the portal's events at `info`, those of libraries at `warn`"),
                "Log level per module. The format is text on a terminal, otherwise one JSON object per line.",
            )
            .environment_only(),
        ],
    },
];

/// Returns all settings without sections.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// Finds a setting by its full name, and the role that the name contains.
pub fn find(name: &str) -> Option<(&'static Setting, Option<Role>)> {
    all().find_map(|setting| {
        let role = setting.roles().find(|role| setting.name_for(*role) == name)?;
        Some((setting, role))
    })
}

impl Setting {
    const fn new(name: &'static str, kind: ValueKind, default: DefaultValue, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            meaning,
            secret: false,
            environment_only: false,
        }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn environment_only(self) -> Self {
        Self {
            environment_only: true,
            ..self
        }
    }

    /// Returns the roles for which it can be set, or only `None` for a setting without role.
    pub fn roles(&self) -> impl Iterator<Item = Option<Role>> + use<> {
        let by_role = self.name.contains(ROLE);
        let everyone = (!by_role).then_some(None);
        let each = by_role.then(|| ROLES.map(Some));
        everyone.into_iter().chain(each.into_iter().flatten())
    }

    /// Returns the full name.
    pub fn name_for(&self, role: Option<Role>) -> String {
        match role {
            Some(role) => self.name.replace(ROLE, &role.as_str().to_uppercase()),
            None => self.name.to_owned(),
        }
    }

    /// Returns the default as an operator would write it. `None`: it is derived.
    pub fn default_for(&self, role: Option<Role>) -> Option<String> {
        match (self.default, role) {
            (Is(text), _) => Some(text.to_owned()),
            (OfRole(of), Some(role)) => Some(of(SessionPolicy::default().for_role(role)).to_string()),
            (Depends(_) | OfRole(_), _) => None,
        }
    }
}

impl ValueKind {
    /// Ten years: enough for any use, and too short for sums of times to overflow.
    const MAX_SECONDS: u64 = 315_360_000;
    const MAX_COUNT: u64 = 1_000_000;

    const fn seconds(least: u64) -> Self {
        ValueKind::Number {
            unit: Unit::Seconds,
            least,
            most: Self::MAX_SECONDS,
        }
    }

    const fn count(least: u64) -> Self {
        ValueKind::Number {
            unit: Unit::Count,
            least,
            most: Self::MAX_COUNT,
        }
    }

    /// Describes valid values for error messages.
    pub fn expected(self) -> String {
        match self {
            ValueKind::Switch => "on or off".to_owned(),
            ValueKind::Number { unit, least, most } => {
                let of = match unit {
                    Unit::Count => "",
                    Unit::Seconds => " of seconds",
                    Unit::Days => " of days",
                };
                format!("a whole number{of} from {least} to {most}")
            }
            ValueKind::Text(words) => words.replace('`', ""),
        }
    }
}
