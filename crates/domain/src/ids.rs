//! One type per kind of id, so that ids of different kinds cannot be confused.
//!
//! An id identifies something in lists, logs and URLs. It is never a credential.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "server", derive(sqlx::Type, utoipa::ToSchema), sqlx(transparent))]
        pub struct $name(pub Uuid);

        impl $name {
            /// Creates a random id (UUID version 4, which does not reveal the time).
            #[cfg(feature = "server")]
            #[expect(clippy::new_without_default, reason = "ids are created explicitly")]
            pub fn new() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// A user.
    UserId
);
id!(
    /// A session: one browser or desktop app in which a user is signed in.
    SessionId
);
id!(
    /// A registered desktop app.
    DeviceId
);
id!(
    /// An organization.
    OrganizationId
);
id!(
    /// A security notice.
    NoticeId
);
id!(
    /// An alert.
    AlertId
);
