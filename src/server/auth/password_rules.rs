//! Checks new passwords. The zxcvbn estimator knows common passwords, words, names, keyboard patterns and dates.

use super::password::Password;
use domain::password::{MIN_CHARACTERS, PasswordProblem};

/// Fewer guesses are too few: an attacker makes them within days, before slow guessing is noticed (zxcvbn's "weak",
/// Wheeler, USENIX Security 2016).
const MIN_GUESSES: u64 = 1_000_000;

/// Characters for the estimate. More would only make it slower.
const MAX_ESTIMATED_CHARS: usize = 64;

/// Checks a new password. `about` is what others know about the user: email and name.
///
/// # Errors
/// The problem of the password.
pub fn check(password: &str, about: &[&str]) -> Result<Password, PasswordProblem> {
    let new = Password::new(password.to_owned()).ok_or(PasswordProblem::TooLong)?;
    // Count characters of the normalised form: four letters with separate accents are not eight characters.
    let normalised = new.normalised.as_str();
    if normalised.chars().count() < MIN_CHARACTERS {
        return Err(PasswordProblem::TooShort);
    }
    let start: String = normalised.chars().take(MAX_ESTIMATED_CHARS).collect();
    let known: Vec<&str> = about.iter().flat_map(|text| guessable_parts(text)).collect();
    if zxcvbn::zxcvbn(&start, &known).guesses() < MIN_GUESSES {
        return Err(PasswordProblem::TooCommon);
    }
    Ok(new)
}

/// The text, the part before its `@`, and its words.
fn guessable_parts(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let name = text.split('@').next();
    std::iter::once(text)
        .chain(name)
        .chain(words)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARIA: [&str; 2] = ["maria.keller@broker.example", "Maria Keller"];

    #[test]
    fn common_passwords_are_rejected() {
        for common in [
            "password",
            "password1",
            "P@ssw0rd",
            "12345678",
            "1234567890",
            "qwertyuiop",
            "iloveyou",
            "letmein123",
            "aaaaaaaaaaaa",
            "sunshine1",
            "football",
            "mariakeller",
            "Maria1980",
            "maria.keller",
        ] {
            assert_eq!(
                check(common, &MARIA).err(),
                Some(PasswordProblem::TooCommon),
                "{common}"
            );
        }
        for short in ["Ab3!xyz", "e\u{301}e\u{301}e\u{301}e\u{301}"] {
            assert_eq!(check(short, &MARIA).err(), Some(PasswordProblem::TooShort));
        }
    }

    #[test]
    fn passphrases_and_random_text_pass_at_any_length() {
        for good in [
            "demo-portal-pass",
            "correct horse battery staple",
            "vK9#qLw2!x",
            "Übergrößenträger im Zug",
            "密码是很长的一句话没有人猜得到",
        ] {
            assert!(check(good, &MARIA).is_ok(), "{good}");
        }
        assert!(check(&"a phrase that goes on ".repeat(40), &MARIA).is_ok());
        assert_eq!(
            check(&"x".repeat(1025), &MARIA).err(),
            Some(PasswordProblem::TooLong)
        );
    }
}
