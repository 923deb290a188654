//! What a new password must be.

/// Shortest password in characters (NIST SP 800-63B-4, 3.1.1.2: eight where another factor is asked, else fifteen;
/// ASVS 5.0, 6.2.1 asks for eight and recommends fifteen).
pub const MIN_CHARACTERS: usize = 8;

/// Why a password is not fit to be one. The names are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordProblem {
    TooShort,
    TooLong,
    /// Among those that are guessed first, or made of the person's own name and address (ASVS 5.0, 6.2.4, 6.2.11).
    TooCommon,
    /// It is the one that they have.
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

    /// The problem of that name. A name that this build does not know is the most general one.
    pub fn from_name(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|problem| problem.as_str() == name);
        known.unwrap_or(PasswordProblem::TooCommon)
    }

    /// What the person reads.
    pub fn message(self) -> &'static str {
        match self {
            PasswordProblem::TooShort => {
                "A password has at least 8 characters. A few words in a row make a good one."
            }
            PasswordProblem::TooLong => "This password is too long. 1,000 characters are enough.",
            PasswordProblem::TooCommon => {
                "This password is easy to guess. Choose one that others do not use, such as a few words in a row."
            }
            PasswordProblem::Unchanged => "This is the password that you have. Choose another.",
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
