//! Names that people give and others read.

/// Whether a name shows what it is: no control characters, which could forge a line of a log, and none that reorder the
/// text around them, break its line or cannot be seen.
pub fn is_plain(name: &str) -> bool {
    let hides = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    !name.chars().any(|c| c.is_control() || hides(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_languages_pass_and_tricks_do_not() {
        for name in [
            "Maria's MacBook",
            "Zoë O'Neil",
            "田中の端末",
            "مكتب",
            "Office PC 14 ✔",
        ] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["a\nb", "a\u{1b}[31m", "gpj\u{202e}exe", "a\u{2028}b", "\u{200b}"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
