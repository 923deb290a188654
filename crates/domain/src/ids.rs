//! A type for every id, so that a person's cannot be taken for a session's.
//!
//! An id names a thing in lists, logs and addresses. It is never a credential.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id (UUID version 4: it tells nothing of when it was made).
            #[cfg(feature = "server")]
            #[expect(clippy::new_without_default, reason = "an id is made on purpose, never by default")]
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
    /// A person.
    UserId
);
id!(
    /// A session: one browser or desktop in which a person is signed in.
    SessionId
);
id!(
    /// A desktop that a person has registered by signing in on it.
    DeviceId
);
id!(
    /// A brokerage.
    OrganizationId
);
id!(
    /// A question to a person about something unusual.
    NoticeId
);
id!(
    /// An alarm: something was found wrong, until it is well again.
    AlertId
);
