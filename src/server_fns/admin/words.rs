//! What people read of what was done.

use crate::domain::{review::Ended, time::plural};

/// What an administrator has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Ended,
    Disabled,
    Enabled,
    PasswordAsked,
    RoleChanged,
    TestSent,
}

impl Deed {
    const ALL: [Self; 6] = [
        Self::Ended,
        Self::Disabled,
        Self::Enabled,
        Self::PasswordAsked,
        Self::RoleChanged,
        Self::TestSent,
    ];

    /// By code only: anyone can write an address.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.code() == code)
    }

    /// How the address of the page that tells of it names it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::PasswordAsked => "password_asked",
            Self::RoleChanged => "role_changed",
            Self::TestSent => "test_sent",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Ended => "The sessions have been ended.",
            Self::Disabled => "The account is disabled, and signed out everywhere.",
            Self::Enabled => "The account can sign in again.",
            Self::PasswordAsked => {
                "They are signed out everywhere, and choose a new password when they sign in."
            }
            Self::RoleChanged => "The role has been changed. It holds from now on.",
            Self::TestSent => "A test alert is on its way. What becomes of it is shown here.",
        }
    }
}

/// How many sessions one request has ended, and how many are left for the next.
pub fn ended(ended: &Ended) -> String {
    let count = |n: usize| plural(i64::try_from(n).unwrap_or(i64::MAX), "session");
    match (ended.ended, ended.left) {
        (0, 0) => "There was nothing to end any more.".to_owned(),
        (n, 0) => format!("{} ended.", count(n)),
        (n, left) => format!("{} ended, {} left.", count(n), count(left)),
    }
}
