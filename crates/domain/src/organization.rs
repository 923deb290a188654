//! Brokerages and who belongs to them.

use serde::{Deserialize, Serialize};

use super::{ids::OrganizationId, user::Role};

/// A brokerage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Organization {
    pub id: OrganizationId,
    pub name: String,
}

/// That a person belongs to a brokerage, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub organization: Organization,
    pub role: Role,
}
