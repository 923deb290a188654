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
    let environment = |name: &str| (name == "PORTAL_PUBLIC_URL").then(|| "http://localhost:8080/".to_owned());
    let (_, resolved) = Config::resolve(&environment, "PORTAL_RETENTION_DAYS = 7").expect("settings");
    let setting = |name: &str| (resolved[name].origin, resolved[name].text.as_deref());
    assert_eq!(
        setting("PORTAL_PUBLIC_URL"),
        (SettingOrigin::Environment, Some("http://localhost:8080/"))
    );
    assert_eq!(setting("PORTAL_RETENTION_DAYS"), (SettingOrigin::File, Some("7")));
    assert_eq!(
        setting("PORTAL_SESSION_TIMEOUT_VENDOR"),
        (SettingOrigin::Default, Some("43200"))
    );
    assert_eq!(setting("PORTAL_DEMO"), (SettingOrigin::Default, Some("on")));
    assert_eq!(setting("DATABASE_URL"), (SettingOrigin::Default, None));
}

#[test]
fn debug_shows_no_password() {
    let config = read(&[("DATABASE_URL", "postgres://portal:hunter2@db/portal")], "").expect("settings");
    assert!(!format!("{config:?}").contains("hunter2"));
}
