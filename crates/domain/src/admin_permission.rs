//! What an administrator may do to a user. Services check this rule, and pages offer only what it allows.

use super::{
    admin::AdminUser,
    ids::{OrganizationId, UserId},
    named_values::named_values,
    user::Role,
};

/// The users whom an administrator may see: the members of one organization, or everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminScope {
    /// `None`: everyone.
    pub organization: Option<OrganizationId>,
}

impl AdminScope {
    pub const EVERYONE: Self = Self { organization: None };

    /// The scope of a user whose session has this role in this organization. `None`: no administrator.
    pub fn of(role: Role, organization: Option<OrganizationId>) -> Option<Self> {
        match role {
            Role::SystemAdmin => Some(Self::EVERYONE),
            // Without an organization there is nobody to administer.
            Role::Admin => organization.map(|id| Self {
                organization: Some(id),
            }),
            Role::Guest | Role::Employee | Role::Vendor | Role::Broker => None,
        }
    }

    pub fn is_everyone(self) -> bool {
        self.organization.is_none()
    }

    /// Whether it has every user of the other scope.
    pub fn contains(self, other: Self) -> bool {
        self.is_everyone() || self == other
    }

    /// Whether memberships of this organization may be seen and changed.
    pub fn includes_organization(self, organization: OrganizationId) -> bool {
        self.contains(Self {
            organization: Some(organization),
        })
    }
}

/// The administrator who acts.
#[derive(Clone, Copy, Debug)]
pub struct Administrator {
    pub user: UserId,
    pub scope: AdminScope,
}

named_values! {
    /// What an administrator does to a user. The names are in the audit log.
    pub enum AdminAction {
        View = "view";
        RevokeSessions = "revoke_sessions";
        ChangeRole = "change_role";
        RequirePasswordChange = "require_password_change";
        Enable = "enable";
        Disable = "disable";
    }
}

/// Whether an administrator may do something to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Allowed,
    /// Allowed, but the account is in that state already. Pages do not offer it; repeating it does no harm.
    NoEffect,
    Denied(Denied),
}

/// Why an administrator may not do something to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The user is not in the administrator's scope.
    OutOfScope,
    OwnAccount,
    /// The administrator's own account, and they are a system administrator.
    OwnSystemAccount,
    /// Only system administrators change the account of a system administrator.
    SystemAdminAccount,
    /// Only operators change the role of a system administrator.
    SystemAdminRole,
    /// The user would lose access to other organizations as well.
    OtherOrganization,
    /// An operator or a system administrator disabled the account.
    DisabledFromOutside,
}

impl Denied {
    /// The explanation for the administrator.
    pub const fn message(self) -> &'static str {
        match self {
            Self::OutOfScope => "That user does not exist, or you may not see them.",
            Self::OwnAccount => {
                "This is you. Another administrator can change your role or disable your account."
            }
            Self::OwnSystemAccount => {
                "This is you. Another system administrator can disable your account, and operators can change your role \
                 at the command line."
            }
            Self::SystemAdminAccount => {
                "This is a system administrator: only other system administrators can change the account."
            }
            Self::SystemAdminRole => {
                "This is a system administrator: operators change the role at the command line."
            }
            Self::OtherOrganization => {
                "They belong to another organization too: a system administrator can disable the account."
            }
            Self::DisabledFromOutside => {
                "An operator or a system administrator has disabled the account, and can let them sign in again."
            }
        }
    }
}

impl Permission {
    /// Whether pages offer the action.
    pub fn is_offered(self) -> bool {
        self == Self::Allowed
    }

    pub fn denied(self) -> Option<Denied> {
        match self {
            Self::Denied(denied) => Some(denied),
            Self::Allowed | Self::NoEffect => None,
        }
    }
}

/// Whether the administrator may do this to the user, as the database has the user in the administrator's scope.
pub fn permission(administrator: Administrator, target: &AdminUser, action: AdminAction) -> Permission {
    let denied = denial(administrator, target, action).map(Permission::Denied);
    denied.unwrap_or(match action {
        AdminAction::Enable if !target.is_disabled => Permission::NoEffect,
        AdminAction::Disable if target.is_disabled => Permission::NoEffect,
        AdminAction::RequirePasswordChange if target.password_change_required => Permission::NoEffect,
        _ => Permission::Allowed,
    })
}

fn denial(
    Administrator { user, scope }: Administrator,
    target: &AdminUser,
    action: AdminAction,
) -> Option<Denied> {
    if !scope.is_everyone() && !target.is_member {
        return Some(Denied::OutOfScope);
    }
    let is_system_admin = target.user.role == Role::SystemAdmin;
    match action {
        AdminAction::View | AdminAction::RevokeSessions => None,
        _ if target.user.id == user && is_system_admin => Some(Denied::OwnSystemAccount),
        _ if target.user.id == user => Some(Denied::OwnAccount),
        AdminAction::ChangeRole => is_system_admin.then_some(Denied::SystemAdminRole),
        AdminAction::RequirePasswordChange | AdminAction::Enable | AdminAction::Disable
            if scope.is_everyone() =>
        {
            None
        }
        // These concern the whole account, not only the membership.
        AdminAction::RequirePasswordChange | AdminAction::Enable | AdminAction::Disable => {
            if is_system_admin {
                Some(Denied::SystemAdminAccount)
            } else if target.has_other_access {
                Some(Denied::OtherOrganization)
            } else {
                target
                    .is_disabled_from_outside
                    .then_some(Denied::DisabledFromOutside)
            }
        }
    }
}

/// The roles that an administrator may give. Only operators make system administrators.
pub fn assignable_roles() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| *role != Role::SystemAdmin)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::user::User;

    const NORTHGATE: OrganizationId = OrganizationId(Uuid::from_u128(1));
    const HARBOUR: OrganizationId = OrganizationId(Uuid::from_u128(2));
    const ADMIN: UserId = UserId(Uuid::from_u128(3));
    const USER: UserId = UserId(Uuid::from_u128(4));

    /// A member of the organization in scope, with nothing special about the account.
    fn member() -> AdminUser {
        AdminUser {
            user: User {
                id: USER,
                email: String::new(),
                display_name: String::new(),
                role: Role::Broker,
            },
            is_member: true,
            is_disabled: false,
            is_disabled_from_outside: false,
            password_change_required: false,
            has_other_access: false,
        }
    }

    fn with_role(role: Role) -> AdminUser {
        let mut person = member();
        person.user.role = role;
        person
    }

    fn own(role: Role) -> AdminUser {
        let mut person = with_role(role);
        person.user.id = ADMIN;
        person
    }

    /// The permissions for view, revoke sessions, change role, require password change, enable and disable: `y` allowed,
    /// `-` no effect, and a letter for each reason of refusal.
    fn row(scope: AdminScope, target: &AdminUser) -> String {
        let actions = [
            AdminAction::View,
            AdminAction::RevokeSessions,
            AdminAction::ChangeRole,
            AdminAction::RequirePasswordChange,
            AdminAction::Enable,
            AdminAction::Disable,
        ];
        let administrator = Administrator { user: ADMIN, scope };
        let letter = |action| match permission(administrator, target, action) {
            Permission::Allowed => 'y',
            Permission::NoEffect => '-',
            Permission::Denied(Denied::OutOfScope) => 'X',
            Permission::Denied(Denied::OwnAccount) => 'O',
            Permission::Denied(Denied::OwnSystemAccount) => 'P',
            Permission::Denied(Denied::SystemAdminAccount) => 'S',
            Permission::Denied(Denied::SystemAdminRole) => 'R',
            Permission::Denied(Denied::OtherOrganization) => 'E',
            Permission::Denied(Denied::DisabledFromOutside) => 'D',
        };
        actions.map(letter).iter().collect()
    }

    #[test]
    fn every_actor_target_and_action_has_a_permission() {
        let disabled = AdminUser {
            is_disabled: true,
            ..member()
        };
        let disabled_from_outside = AdminUser {
            is_disabled_from_outside: true,
            ..disabled.clone()
        };
        let elsewhere = AdminUser {
            has_other_access: true,
            ..member()
        };
        let new_password = AdminUser {
            password_change_required: true,
            ..member()
        };
        let stranger = AdminUser {
            is_member: false,
            ..member()
        };
        let system_admin = AdminUser {
            has_other_access: true,
            ..with_role(Role::SystemAdmin)
        };
        let organization = AdminScope {
            organization: Some(NORTHGATE),
        };
        for (name, target, of_organization, of_everyone) in [
            ("member", member(), "yyyy-y", "yyyy-y"),
            ("administrator", with_role(Role::Admin), "yyyy-y", "yyyy-y"),
            ("new password", new_password, "yyy--y", "yyy--y"),
            ("elsewhere", elsewhere, "yyyEEE", "yyyy-y"),
            ("disabled", disabled, "yyyyy-", "yyyyy-"),
            ("disabled from outside", disabled_from_outside, "yyyDDD", "yyyyy-"),
            ("system administrator", system_admin, "yyRSSS", "yyRy-y"),
            ("stranger", stranger, "XXXXXX", "yyyy-y"),
            ("own account", own(Role::Admin), "yyOOOO", "yyOOOO"),
            ("own system account", own(Role::SystemAdmin), "yyPPPP", "yyPPPP"),
        ] {
            assert_eq!(row(organization, &target), of_organization, "{name}");
            assert_eq!(row(AdminScope::EVERYONE, &target), of_everyone, "{name}");
        }
    }

    #[test]
    fn only_administrators_have_a_scope() {
        for role in Role::ALL {
            let scopes = [None, Some(NORTHGATE)].map(|organization| AdminScope::of(role, organization));
            let expected = match role {
                Role::SystemAdmin => [Some(AdminScope::EVERYONE); 2],
                Role::Admin => [
                    None,
                    Some(AdminScope {
                        organization: Some(NORTHGATE),
                    }),
                ],
                _ => [None, None],
            };
            assert_eq!(scopes, expected, "{role}");
        }
    }

    #[test]
    fn scope_of_an_organization_contains_no_other() {
        let northgate = AdminScope {
            organization: Some(NORTHGATE),
        };
        assert!(northgate.contains(northgate) && AdminScope::EVERYONE.contains(northgate));
        assert!(!northgate.contains(AdminScope::EVERYONE) && !northgate.includes_organization(HARBOUR));
    }
}
