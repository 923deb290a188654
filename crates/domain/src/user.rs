//! Users and roles.

use serde::{Deserialize, Serialize};

use super::{ids::UserId, named_values::named_values};

/// A user as pages and the API show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(sqlx::FromRow, utoipa::ToSchema))]
pub struct User {
    #[cfg_attr(feature = "server", sqlx(rename = "user_id"))]
    pub id: UserId,
    pub email: String,
    pub display_name: String,
    /// The effective role.
    pub role: Role,
}

named_values! {
    /// A role. It determines permissions, timeouts and the session limit.
    #[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(rename_all = "snake_case"))]
    pub enum Role {
        Guest = "guest", "Guest";
        Employee = "employee", "Employee";
        Vendor = "vendor", "Vendor";
        Broker = "broker", "Broker";
        /// Administers the users of one organization.
        Admin = "admin", "Administrator";
        /// Administers all users.
        SystemAdmin = "system_admin", "System administrator";
    }
}
