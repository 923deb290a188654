use proptest::prelude::*;
use regex::Regex;

use super::*;

fn parse_error(text: &str) -> TextProblem {
    parse_line(text, 40).expect_err(&format!("{text:?}"))
}

#[test]
fn names_of_every_script_are_accepted() {
    for name in [
        "Maria's MacBook",
        "Zoë O'Neil",
        "田中の端末",
        "مكتب",
        "Office PC 14 ✔",
        // Persian, with a zero-width non-joiner.
        "علی‌رضا محمدی",
        // Devanagari, and Malayalam with a joiner at the end of each word.
        "श्री क्‍ष",
        "അനില്‍ കുമാര്‍",
        // A technician, a heart on fire, a family, a keycap, a flag that is spelled out, a form of a kanji.
        "My 👩‍💻 PC",
        "❤️‍🔥",
        "👨‍👩‍👧‍👦",
        "PC 1️⃣",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿 office",
        "葛󠄀城",
        // The Arabic year sign is a visible format character.
        "\u{601}2026",
    ] {
        assert_eq!(parse_line(name, 40), Ok(Some(name.to_owned())));
        assert_eq!(clean(name), name);
    }
}

#[test]
fn errors_name_the_deceptive_character() {
    for (text, message) in [
        ("a\nb", "contains a line break (U+000A)"),
        ("a\u{2028}b", "contains a line break (U+2028)"),
        ("a\u{1b}[31m", "contains a control character (U+001B)"),
        (
            "gpj\u{202e}exe",
            "contains a character that changes the direction of text (U+202E)",
        ),
        (
            "a\u{61c}",
            "contains a character that changes the direction of text (U+061C)",
        ),
        (
            "a\u{2066}b",
            "contains a character that changes the direction of text (U+2066)",
        ),
        ("a\u{200b}b", "contains an invisible character (U+200B)"),
        ("a\u{ad}b", "contains an invisible character (U+00AD)"),
        ("\u{3164}", "contains an invisible character (U+3164)"),
        ("a\u{e0041}", "contains an invisible character (U+E0041)"),
        ("\u{e000}", "contains a private-use character (U+E000)"),
        ("\u{10fffd}", "contains a private-use character (U+10FFFD)"),
        (
            "\u{fffe}",
            "contains a code point that is not a character (U+FFFE)",
        ),
        (
            "\u{fdd0}",
            "contains a code point that is not a character (U+FDD0)",
        ),
    ] {
        assert_eq!(parse_error(text).to_string(), message, "{text:?}");
    }
}

#[test]
fn misplaced_joiners_selectors_and_tags_are_rejected() {
    for text in [
        // Looks like “Acme”, a name that another organization may have.
        "Acme\u{200c}",
        "Ac\u{200c}me",
        "\u{200d}é",
        "é\u{200d}",
        "é\u{200d}\u{200d}é",
        "é\u{200d}a",
        "é \u{200d}é",
        "\u{fe0f}",
        "a\u{fe0f}",
        "❤\u{fe0f}\u{fe0f}",
        " \u{e0100}",
        // Flag tags: no end tag, too few letters, too many letters, a second end tag, and tags after a letter.
        "🏴\u{e0067}\u{e0062}\u{e0065}",
        "🏴\u{e0067}\u{e0062}\u{e007f}",
        "🏴\u{e0061}\u{e0061}\u{e0061}\u{e0061}\u{e0061}\u{e0061}\u{e0061}\u{e007f}",
        "🏴\u{e0067}\u{e0062}\u{e0065}\u{e007f}\u{e007f}",
        "x\u{e0067}\u{e0062}\u{e0065}\u{e007f}",
    ] {
        let problem = parse_error(text).to_string();
        assert!(
            problem.starts_with("contains an invisible character"),
            "{text:?}: {problem}"
        );
    }
}

#[test]
fn blank_text_is_rejected() {
    for blank in ["", " \t\n", "\u{3000}", "\u{2800} \u{2800}"] {
        assert_eq!(parse_line(blank, 40), Ok(None));
        assert_eq!(parse_name(blank, 40), Err(TextProblem::Empty));
        assert_eq!(clean(blank), "");
    }
    assert_eq!(clean("\u{200b}\u{200d}\u{202e}"), "");
}

#[test]
fn length_counts_composed_characters() {
    assert_eq!(parse_line(&"e\u{301}".repeat(40), 40), Ok(Some("é".repeat(40))));
    assert_eq!(parse_line(&"é".repeat(41), 40), Err(TextProblem::TooLong(40)));
    assert_eq!(
        parse_line(&"x".repeat(1_000_000), 40),
        Err(TextProblem::TooLong(40))
    );
    assert_eq!(
        parse_error(&"é".repeat(41)).to_string(),
        "has more than 40 characters"
    );
}

#[test]
fn cleaning_removes_only_deceptive_characters() {
    for (text, cleaned) in [
        ("  My\u{202e} PC\u{200b}\r\n", "My PC"),
        ("a\nb", "a b"),
        ("Acme\u{200c}\u{fe0f}", "Acme"),
        ("\u{f8ff} Mac", "Mac"),
        ("é\u{200d}\u{200b}é", "é\u{200d}é"),
        ("x\u{e0067}\u{e0062}", "x"),
    ] {
        assert_eq!(clean(text), cleaned, "{text:?}");
    }
}

#[test]
fn character_kinds_match_unicode_properties() {
    let class = |class: &str| Regex::new(&format!(r"\A{class}\z")).expect(class);
    let control = class(r"[\p{Cc}\p{Zl}\p{Zp}]");
    let direction = class(r"\p{Bidi_Control}");
    let joiner = class(r"\p{Join_Control}");
    let selector = class(r"\p{Variation_Selector}");
    let private = class(r"\p{Co}");
    let invisible = class(r"[\p{Default_Ignorable_Code_Point}[\p{Cf}--\p{Prepended_Concatenation_Mark}]]");
    for c in '\0'..=char::MAX {
        let code = u32::from(c);
        let text = c.to_string();
        let is_in = |class: &Regex| class.is_match(&text);
        let expected = if code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code) {
            Some(CharacterKind::Noncharacter)
        } else if is_in(&control) {
            Some(CharacterKind::Control)
        } else if is_in(&direction) {
            Some(CharacterKind::Direction)
        } else if is_in(&joiner) {
            Some(CharacterKind::Joiner)
        } else if is_in(&selector) {
            Some(CharacterKind::VariationSelector)
        } else if (0xe0020..=0xe007f).contains(&code) {
            Some(CharacterKind::Tag)
        } else if is_in(&private) {
            Some(CharacterKind::Private)
        } else if is_in(&invisible) {
            Some(CharacterKind::Invisible)
        } else {
            None
        };
        assert_eq!(character_kind(c), expected, "U+{code:04X}");
    }
}

fn deceptive_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        any::<char>(),
        proptest::sample::select(
            "aé1\u{94d}क🏴❤\u{200b}\u{200c}\u{200d}\u{fe0f}\u{e0067}\u{e0062}\u{e0065}\u{e007f}\u{202e}\n \u{301}"
                .chars()
                .collect::<Vec<_>>()
        ),
    ];
    prop::collection::vec(character, 0..30).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn cleaned_text_is_accepted_unchanged(text in deceptive_text()) {
        let cleaned = clean(&text);
        let expected = Some(cleaned.clone()).filter(|cleaned| !cleaned.is_empty());
        prop_assert_eq!(parse_line(&cleaned, 100), Ok(expected));
    }

    #[test]
    fn cleaning_keeps_accepted_text(text in deceptive_text()) {
        if let Ok(Some(accepted)) = parse_line(&text, 100) {
            prop_assert_eq!(clean(&accepted), accepted);
        }
    }
}
