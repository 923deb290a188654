//! Organizations and memberships.

use serde::{Deserialize, Serialize};

use super::{ids::OrganizationId, user::Role};

/// A brokerage to which users belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Organization {
    pub id: OrganizationId,
    pub name: String,
}

/// A user's role in one organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub organization: Organization,
    pub role: Role,
}
