//! The actions that need a confirmation.

use domain::{admin_permission::AdminAction, query::query_param};

/// The action that the dialog asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingAction {
    RevokeOne,
    RevokeAllOfUser,
    RevokeListed,
    Disable,
    Enable,
    RequirePasswordChange,
    ChangeRole,
}

impl PendingAction {
    const ALL: [Self; 7] = [
        PendingAction::RevokeOne,
        PendingAction::RevokeAllOfUser,
        PendingAction::RevokeListed,
        PendingAction::Disable,
        PendingAction::Enable,
        PendingAction::RequirePasswordChange,
        PendingAction::ChangeRole,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            PendingAction::RevokeOne => "end_one",
            PendingAction::RevokeAllOfUser => "end_person",
            PendingAction::RevokeListed => "end_listed",
            PendingAction::Disable => "disable",
            PendingAction::Enable => "enable",
            PendingAction::RequirePasswordChange => "require_password",
            PendingAction::ChangeRole => "change_role",
        }
    }

    /// Parses the query of a URL.
    pub fn parse(query: &str) -> Option<Self> {
        let name = query_param(query, "ask")?;
        Self::ALL.into_iter().find(|each| each.as_str() == name)
    }

    /// The action of the permission rule.
    pub fn action(self) -> AdminAction {
        match self {
            Self::RevokeOne | Self::RevokeAllOfUser | Self::RevokeListed => AdminAction::RevokeSessions,
            Self::Disable => AdminAction::Disable,
            Self::Enable => AdminAction::Enable,
            Self::RequirePasswordChange => AdminAction::RequirePasswordChange,
            Self::ChangeRole => AdminAction::ChangeRole,
        }
    }

    /// Whether it only revokes sessions.
    pub fn is_revocation(self) -> bool {
        matches!(self, Self::RevokeOne | Self::RevokeAllOfUser | Self::RevokeListed)
    }

    /// Whether it concerns a user, on any page.
    pub fn concerns_user(self) -> bool {
        !matches!(self, Self::RevokeOne | Self::RevokeListed)
    }
}
