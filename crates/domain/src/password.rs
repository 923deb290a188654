//! Rules for new passwords.

/// Minimum length in characters. NIST SP 800-63B-4, 3.1.1.2: eight with a second factor, otherwise fifteen. ASVS 5.0,
/// 6.2.1: at least eight, fifteen recommended.
pub const MIN_CHARACTERS: usize = 8;

/// Why a new password is rejected. The names are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordProblem {
    TooShort,
    TooLong,
    /// A common password, or one made of the user's name or email (ASVS 5.0, 6.2.4, 6.2.11).
    TooCommon,
    /// Equal to the current password.
    Unchanged,
}

impl PasswordProblem {
    const ALL: [PasswordProblem; 4] = [
        PasswordProblem::TooShort,
        PasswordProblem::TooLong,
        PasswordProblem::TooCommon,
        PasswordProblem::Unchanged,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            PasswordProblem::TooShort => "too_short",
            PasswordProblem::TooLong => "too_long",
            PasswordProblem::TooCommon => "too_common",
            PasswordProblem::Unchanged => "unchanged",
        }
    }

    /// The problem with this name. A newer server may send an unknown name: that becomes the most general problem.
    pub fn from_name(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|problem| problem.as_str() == name);
        known.unwrap_or(PasswordProblem::TooCommon)
    }

    /// The message that the user reads.
    pub fn message(self) -> &'static str {
        match self {
            PasswordProblem::TooShort => {
                "A password has at least 8 characters. A few words in a row make a good one."
            }
            PasswordProblem::TooLong => "This password is too long. 1,000 characters are enough.",
            PasswordProblem::TooCommon => {
                "This password is easy to guess. Choose one that others do not use, such as a few words in a row."
            }
            PasswordProblem::Unchanged => "This is your current password. Choose another one.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_round_trips_through_its_name() {
        for problem in PasswordProblem::ALL {
            assert_eq!(PasswordProblem::from_name(problem.as_str()), problem);
            assert!(problem.message().ends_with('.'));
        }
        assert!(
            PasswordProblem::TooShort
                .message()
                .contains(&MIN_CHARACTERS.to_string())
        );
    }
}
