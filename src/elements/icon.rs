//! Icons: one stroke width, the colour of the surrounding text, hidden from assistive technology.

use leptos::prelude::*;

use domain::session::{ClientKind, Session};

/// The name of an icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IconName {
    Monitor,
    Laptop,
    Phone,
    Tablet,
    Window,
    Check,
    AlertTriangle,
    AlertCircle,
    Info,
    SignOut,
    ChevronDown,
    Building,
    User,
    Sun,
    Moon,
    System,
    Close,
    Clock,
    Unreachable,
}

impl IconName {
    /// The icon for the device of a session.
    pub fn of(session: &Session) -> Self {
        let words = format!(
            "{} {}",
            session.device_name,
            session.platform.as_deref().unwrap_or_default()
        );
        let words = words.to_ascii_lowercase();
        match (session.kind, session.platform.as_deref()) {
            (ClientKind::Browser, Some("phone")) => IconName::Phone,
            (ClientKind::Browser, Some("tablet")) => IconName::Tablet,
            (ClientKind::Browser, _) => IconName::Monitor,
            (ClientKind::Desktop, _) if words.contains("book") || words.contains("laptop") => {
                IconName::Laptop
            }
            (ClientKind::Desktop, _) => IconName::Window,
        }
    }

    fn paths(self) -> &'static str {
        match self {
            IconName::Monitor => {
                r#"<rect x="3" y="4" width="18" height="12.5" rx="2"/><path d="M12 16.5V20M8 20h8"/>"#
            }
            IconName::Laptop => {
                r#"<rect x="4.5" y="5" width="15" height="10.5" rx="1.75"/><path d="M2.5 19h19"/>"#
            }
            IconName::Phone => {
                r#"<rect x="7" y="2.5" width="10" height="19" rx="2.25"/><path d="M11 18.5h2"/>"#
            }
            IconName::Tablet => {
                r#"<rect x="4.5" y="2.5" width="15" height="19" rx="2.25"/><path d="M11 18.5h2"/>"#
            }
            IconName::Window => {
                r#"<rect x="3" y="4" width="18" height="16" rx="2"/><path d="M3 9h18M6.5 6.5h.01M9.5 6.5h.01"/>"#
            }
            IconName::Check => r#"<path d="m5 12.5 4.5 4.5L19 7.5"/>"#,
            IconName::AlertTriangle => {
                r#"<path d="M10.6 4.3 2.9 17.5a1.63 1.63 0 0 0 1.4 2.5h15.4a1.63 1.63 0 0 0 1.4-2.5L13.4 4.3a1.63 1.63 0 0 0-2.8 0Z"/><path d="M12 9.5V13M12 16.5h.01"/>"#
            }
            IconName::AlertCircle => r#"<circle cx="12" cy="12" r="9"/><path d="M12 7.5V13M12 16.5h.01"/>"#,
            IconName::Info => r#"<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.5h.01"/>"#,
            IconName::SignOut => {
                r#"<path d="M13 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h7M10 12h11M17.5 8.5 21 12l-3.5 3.5"/>"#
            }
            IconName::ChevronDown => r#"<path d="m6 9 6 6 6-6"/>"#,
            IconName::Building => {
                r#"<rect x="5" y="3" width="14" height="18" rx="1.75"/><path d="M10 21v-4h4v4M9 7.5h.01M15 7.5h.01M12 7.5h.01M9 12h.01M12 12h.01M15 12h.01"/>"#
            }
            IconName::User => r#"<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5a7.5 7.5 0 0 1 15 0"/>"#,
            IconName::Sun => {
                r#"<circle cx="12" cy="12" r="4"/><path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"/>"#
            }
            IconName::Moon => r#"<path d="M20.5 14A8.5 8.5 0 1 1 10 3.5a7 7 0 0 0 10.5 10.5Z"/>"#,
            IconName::Close => r#"<path d="m6 6 12 12M18 6 6 18"/>"#,
            IconName::Clock => r#"<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5l3.5 2"/>"#,
            IconName::Unreachable => {
                r#"<path d="M7 18.5a4.5 4.5 0 0 1-.6-9 6 6 0 0 1 8-3.6M18.2 10.2a4.2 4.2 0 0 1 2 6.8M4 4l16 16M11 18.5h5"/>"#
            }
            IconName::System => {
                r#"<circle cx="12" cy="12" r="8.5"/><path class="filled" d="M12 3.5a8.5 8.5 0 0 1 0 17Z"/>"#
            }
        }
    }
}

/// Renders an icon.
#[component]
pub fn Icon(name: IconName) -> impl IntoView {
    view! { <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false" inner_html=name.paths()></svg> }
}

/// The logo.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg viewBox="0 0 24 24" aria-hidden="true" focusable="false" fill="none">
            <path
                d="M4.5 21V10.5a7.5 7.5 0 0 1 15 0V21"
                stroke="currentColor"
                stroke-width="2.25"
                stroke-linecap="round"
            ></path>
            <path d="M9.5 21V11a2.5 2.5 0 0 1 5 0v10Z" fill="currentColor"></path>
        </svg>
    }
}
