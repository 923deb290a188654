//! Permissions of administrators over users. Services check them; pages offer only permitted actions.

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

    /// Returns the scope of a session with this role and active organization. `None`: the role is no administrator role,
    /// or an administrator has no active organization.
    pub fn for_session(role: Role, organization: Option<OrganizationId>) -> Option<Self> {
        match role {
            Role::SystemAdmin => Some(Self::EVERYONE),
            // Without an organization there are no users to administer.
            Role::Admin => organization.map(|id| Self {
                organization: Some(id),
            }),
            Role::Guest | Role::Employee | Role::Vendor | Role::Broker => None,
        }
    }

    pub fn is_everyone(self) -> bool {
        self.organization.is_none()
    }

    /// Returns whether this scope includes every user of `other`.
    pub fn is_superset_of(self, other: Self) -> bool {
        self.is_everyone() || self == other
    }

    /// Returns whether memberships of this organization may be seen and changed.
    pub fn has_organization(self, organization: OrganizationId) -> bool {
        self.is_superset_of(Self {
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
    /// An action of an administrator on a user. The names are public: the audit log contains them.
    pub enum AdminAction {
        View = "view";
        RevokeSessions = "revoke_sessions";
        ChangeRole = "change_role";
        RequirePasswordChange = "require_password_change";
        Enable = "enable";
        Disable = "disable";
    }
}

/// Result of a permission check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Allowed,
    /// Allowed, but the account already has this state. Pages do not offer the action; executing it changes nothing.
    NoEffect,
    Denied(Denied),
}

/// Reason why an action is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The user is not in the administrator's scope.
    OutOfScope,
    /// The administrator's own account.
    OwnAccount,
    /// A system administrator's own account.
    OwnSystemAccount,
    /// Only system administrators change the account of a system administrator.
    SystemAdminAccount,
    /// Only operators change the role of a system administrator.
    SystemAdminRole,
    /// The user would lose access to other organizations as well.
    OtherOrganization,
    /// The account was disabled by an operator, a system administrator or an administrator of another organization.
    DisabledFromOutside,
}

impl Denied {
    /// The explanation for the administrator.
    pub const fn message(self) -> &'static str {
        match self {
            Self::OutOfScope => "That user does not exist, or you may not see them.",
            Self::OwnAccount => {
                "This is your own account. Another administrator can change your role or disable your account."
            }
            Self::OwnSystemAccount => {
                "This is your own account. Another system administrator can disable it, and operators can change your role on \
                 the command line."
            }
            Self::SystemAdminAccount => {
                "This user is a system administrator. Only other system administrators can change the account."
            }
            Self::SystemAdminRole => {
                "This user is a system administrator. Operators change the role on the command line."
            }
            Self::OtherOrganization => {
                "This user also belongs to another organization. Only a system administrator can disable or enable the account, or \
                 ask for a new password."
            }
            Self::DisabledFromOutside => {
                "This account was disabled outside your organization. Ask a system administrator to enable it."
            }
        }
    }
}

impl Permission {
    /// Returns whether pages offer the action.
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

/// Returns the permission for an action. `target` must be loaded in the administrator's scope.
pub fn check_permission(administrator: Administrator, target: &AdminUser, action: AdminAction) -> Permission {
    let denied = find_denial(administrator, target, action).map(Permission::Denied);
    denied.unwrap_or(match action {
        AdminAction::Enable if !target.is_disabled => Permission::NoEffect,
        AdminAction::Disable if target.is_disabled => Permission::NoEffect,
        AdminAction::RequirePasswordChange if target.password_change_required => Permission::NoEffect,
        _ => Permission::Allowed,
    })
}

fn find_denial(
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
        // These actions affect the account in all organizations.
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

/// Returns the roles that an administrator can assign. Only operators can assign system administrator.
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

    fn member_with_role(role: Role) -> AdminUser {
        let mut target = member();
        target.user.role = role;
        target
    }

    fn own_account(role: Role) -> AdminUser {
        let mut target = member_with_role(role);
        target.user.id = ADMIN;
        target
    }

    /// The permissions for view, revoke sessions, change role, require password change, enable and disable, as one
    /// letter each: `y` allowed, `-` no effect, otherwise the reason why it is denied.
    fn permission_codes(scope: AdminScope, target: &AdminUser) -> String {
        let actions = [
            AdminAction::View,
            AdminAction::RevokeSessions,
            AdminAction::ChangeRole,
            AdminAction::RequirePasswordChange,
            AdminAction::Enable,
            AdminAction::Disable,
        ];
        let administrator = Administrator { user: ADMIN, scope };
        let code = |action| match check_permission(administrator, target, action) {
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
        actions.map(code).iter().collect()
    }

    #[test]
    fn permissions_depend_on_scope_and_account() {
        let disabled = AdminUser {
            is_disabled: true,
            ..member()
        };
        let disabled_from_outside = AdminUser {
            is_disabled_from_outside: true,
            ..disabled.clone()
        };
        let in_two_organizations = AdminUser {
            has_other_access: true,
            ..member()
        };
        let new_password = AdminUser {
            password_change_required: true,
            ..member()
        };
        let non_member = AdminUser {
            is_member: false,
            ..member()
        };
        let system_admin = AdminUser {
            has_other_access: true,
            ..member_with_role(Role::SystemAdmin)
        };
        let organization = AdminScope {
            organization: Some(NORTHGATE),
        };
        for (name, target, in_organization, in_every_scope) in [
            ("member", member(), "yyyy-y", "yyyy-y"),
            ("administrator", member_with_role(Role::Admin), "yyyy-y", "yyyy-y"),
            ("new password", new_password, "yyy--y", "yyy--y"),
            ("in two organizations", in_two_organizations, "yyyEEE", "yyyy-y"),
            ("disabled", disabled, "yyyyy-", "yyyyy-"),
            ("disabled from outside", disabled_from_outside, "yyyDDD", "yyyyy-"),
            ("system administrator", system_admin, "yyRSSS", "yyRy-y"),
            ("non-member", non_member, "XXXXXX", "yyyy-y"),
            ("own account", own_account(Role::Admin), "yyOOOO", "yyOOOO"),
            (
                "own system account",
                own_account(Role::SystemAdmin),
                "yyPPPP",
                "yyPPPP",
            ),
        ] {
            assert_eq!(permission_codes(organization, &target), in_organization, "{name}");
            assert_eq!(
                permission_codes(AdminScope::EVERYONE, &target),
                in_every_scope,
                "{name}"
            );
        }
    }

    #[test]
    fn only_administrators_have_a_scope() {
        for role in Role::ALL {
            let scopes =
                [None, Some(NORTHGATE)].map(|organization| AdminScope::for_session(role, organization));
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
    fn organization_scope_excludes_other_organizations() {
        let northgate = AdminScope {
            organization: Some(NORTHGATE),
        };
        assert!(northgate.is_superset_of(northgate) && AdminScope::EVERYONE.is_superset_of(northgate));
        assert!(!northgate.is_superset_of(AdminScope::EVERYONE) && !northgate.has_organization(HARBOUR));
    }
}
