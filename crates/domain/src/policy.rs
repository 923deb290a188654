//! Session limits by role.

use std::time::Duration;

use super::user::Role;

/// The session limits of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolePolicy {
    /// Idle timeout: a session expires after this time without activity.
    pub idle: Duration,
    /// Absolute lifetime: a session expires this long after sign-in.
    pub lifetime: Duration,
    /// Largest number of live sessions of a user.
    pub max_sessions: u32,
}

/// The session limits of all roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    by_role: [RolePolicy; Role::ALL.len()],
}

impl SessionPolicy {
    pub fn for_role(&self, role: Role) -> RolePolicy {
        self.by_role[role as usize]
    }

    pub fn set(&mut self, role: Role, policy: RolePolicy) {
        self.by_role[role as usize] = policy;
    }
}

impl Default for SessionPolicy {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        let policy = |idle, lifetime, max_sessions| RolePolicy {
            idle: Duration::from_secs(idle),
            lifetime: Duration::from_secs(lifetime),
            max_sessions,
        };
        Self {
            by_role: Role::ALL.map(|role| match role {
                Role::Guest => policy(DAY, 7 * DAY, 5),
                Role::Employee => policy(8 * HOUR, DAY, 2),
                Role::Vendor => policy(12 * HOUR, DAY, 3),
                Role::Broker => policy(12 * HOUR, DAY, 5),
                // System administrators have the limits of administrators.
                Role::Admin | Role::SystemAdmin => policy(4 * HOUR, 12 * HOUR, 2),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_change_affects_one_role() {
        let mut policy = SessionPolicy::default();
        let short = RolePolicy {
            idle: Duration::from_secs(1),
            ..policy.for_role(Role::Vendor)
        };
        policy.set(Role::Vendor, short);
        assert_eq!(policy.for_role(Role::Vendor), short);
        assert_eq!(
            policy.for_role(Role::Broker),
            SessionPolicy::default().for_role(Role::Broker)
        );
    }
}
