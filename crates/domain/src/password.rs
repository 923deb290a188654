//! Rules for new passwords.

use super::named_values::named_values;

/// Minimum length in characters. NIST SP 800-63B-4, 3.1.1.2: eight with a second factor, otherwise fifteen. ASVS 5.0,
/// 6.2.1: at least eight, fifteen recommended.
pub const MIN_CHARACTERS: usize = 8;

named_values! {
    /// The reason why a new password is rejected. The names are public: the API exposes them.
    pub enum PasswordProblem {
        TooShort = "too_short";
        TooLong = "too_long";
        /// A common password, or one made of the user's name or email (ASVS 5.0, 6.2.4, 6.2.11).
        TooCommon = "too_common";
        /// Equal to the current password.
        Unchanged = "unchanged";
    }
}

impl PasswordProblem {
    /// Returns the problem with this name, or `TooCommon` for a name that only a newer server knows.
    pub fn from_name(name: &str) -> Self {
        name.parse().unwrap_or(PasswordProblem::TooCommon)
    }

    /// The message that the user reads.
    pub fn message(self) -> &'static str {
        match self {
            PasswordProblem::TooShort => {
                "Use at least 8 characters. Several unrelated words make a strong password."
            }
            PasswordProblem::TooLong => "This password is too long. 1,000 characters are enough.",
            PasswordProblem::TooCommon => {
                "This password is easy to guess. Choose another one, for example several unrelated words."
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
