//! Label values of metrics. Closed types, so that no outside text becomes a label.

use domain::session::EndReason;

/// A closed set of label values.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn label(self) -> &'static str;
}

/// Declares a label type.
macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $value:ident => $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $value,)+
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$($name::$value),+];

            fn label(self) -> &'static str {
                match self {
                    $($name::$value => $text,)+
                }
            }
        }
    };
}

label! {
    /// Result of checking a request's credential.
    SessionCheck {
        Live => "live",
        Ended => "ended",
        /// No stored session has this credential.
        Unknown => "unknown",
        /// No credential was presented.
        Anonymous => "anonymous",
        /// The database did not respond.
        Unavailable => "unavailable",
        Failed => "failed",
    }
}

label! {
    /// Result of a sign-in.
    SignIn {
        SignedIn => "signed_in",
        /// Wrong password, unknown email or disabled account. The client cannot tell which.
        Refused => "refused",
        /// Too many failures: the password was not verified.
        Throttled => "throttled",
        /// Too many passwords wait to be verified.
        Busy => "busy",
        Unavailable => "unavailable",
        Failed => "failed",
    }
}

label! {
    /// Result of a refresh.
    Refresh {
        Exchanged => "exchanged",
        /// A retry after a lost response: returned the same tokens.
        Repeated => "repeated",
        /// Unknown token or ended session.
        Refused => "refused",
        /// Token reuse: the session was revoked.
        Reused => "reused",
        /// Presented by another client: the session was revoked.
        ClientChanged => "client_changed",
        Unavailable => "unavailable",
        Failed => "failed",
    }
}

label! {
    /// Why no database connection was available.
    NoConnection {
        /// None became free in time.
        TimedOut => "timed_out",
        /// The database refused the connection or did not respond.
        Unreachable => "unreachable",
        /// The server is stopping.
        Closed => "closed",
    }
}

label! {
    /// Result of a clean-up run.
    CleanupRun {
        Finished => "finished",
        Failed => "failed",
        /// Another node had run it.
        NotOurTurn => "not_our_turn",
    }
}

label! {
    /// Where a request panicked.
    PanicIn {
        /// Before the response head: the client gets 500.
        Handler => "handler",
        /// While the body was sent: the connection is closed.
        Body => "body",
        /// In a task of the request, such as an export or loading page data.
        Task => "task",
    }
}

label! {
    /// Stage at which the client application of a page failed.
    ClientFailure {
        /// The module was not loaded or may not run.
        Load => "load",
        Hydration => "hydration",
        Running => "running",
        /// Beyond the limit of logged reports, at any stage.
        NotLogged => "not_logged",
    }
}

impl Label for EndReason {
    const ALL: &'static [Self] = &EndReason::ALL;

    fn label(self) -> &'static str {
        self.as_str()
    }
}
