//! Users and roles.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::ids::UserId;

/// A user as pages and the API show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub display_name: String,
    /// The effective role.
    pub role: Role,
}

/// Permissions, timeouts and limits depend on the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "snake_case")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum Role {
    Guest,
    Employee,
    Vendor,
    Broker,
    /// Administers the users of one organization.
    Admin,
    /// Administers all users.
    SystemAdmin,
}

impl Role {
    pub const ALL: [Role; 6] = [
        Role::Guest,
        Role::Employee,
        Role::Vendor,
        Role::Broker,
        Role::Admin,
        Role::SystemAdmin,
    ];

    /// The name in the database, the API and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::Employee => "employee",
            Role::Vendor => "vendor",
            Role::Broker => "broker",
            Role::Admin => "admin",
            Role::SystemAdmin => "system_admin",
        }
    }

    /// The label that users read.
    pub fn label(self) -> &'static str {
        match self {
            Role::Guest => "Guest",
            Role::Employee => "Employee",
            Role::Vendor => "Vendor",
            Role::Broker => "Broker",
            Role::Admin => "Administrator",
            Role::SystemAdmin => "System administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of guest, employee, vendor, broker, admin, system_admin; not {0:?}")]
pub struct UnknownRole(pub String);

/// Parsed from its name, because a derived deserializer is many times larger in the browser module.
impl TryFrom<String> for Role {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_round_trips_through_its_name() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("Broker".parse::<Role>().is_err());
    }
}
