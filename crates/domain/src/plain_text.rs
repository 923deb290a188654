//! Rules for text that users enter and others read: names, emails, notes and search texts.
//!
//! Forbidden by Unicode property: control characters (Cc), line and paragraph separators (Zl, Zp), direction controls
//! (`Bidi_Control`), private use (Co), noncharacters, and invisible characters (`Default_Ignorable_Code_Point`, and Cf
//! except the visible `Prepended_Concatenation_Mark`). Real names need three kinds of these, which are allowed in
//! valid positions only: joiners, variation selectors and flag tags. A test compares the ranges with the properties.

use std::fmt;

/// The reason why a text is rejected. Displayed after the name of the field: "the reason has no visible character".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    #[error("has no visible character")]
    Empty,
    #[error("has more than {0} characters")]
    TooLong(usize),
    #[error("contains {0}")]
    Forbidden(ForbiddenCharacter),
}

/// A forbidden character, or one in a position where it is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenCharacter(char, CharacterKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CharacterKind {
    /// Ends a line or controls a terminal.
    Control,
    /// Changes the direction of the surrounding text.
    Direction,
    Invisible,
    /// U+200C and U+200D: used in Persian, Indic scripts and emoji families.
    Joiner,
    /// Selects a form of the preceding character.
    VariationSelector,
    /// Spells the region of a flag: England, Scotland, Wales.
    Tag,
    Private,
    Noncharacter,
}

impl fmt::Display for ForbiddenCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(character, kind) = *self;
        let what = match kind {
            CharacterKind::Control if matches!(character, '\n' | '\r' | '\u{2028}' | '\u{2029}') => {
                "a line break"
            }
            CharacterKind::Control => "a control character",
            CharacterKind::Direction => "a character that changes the direction of text",
            CharacterKind::Invisible
            | CharacterKind::Joiner
            | CharacterKind::VariationSelector
            | CharacterKind::Tag => "an invisible character",
            CharacterKind::Private => "a private-use character",
            CharacterKind::Noncharacter => "a code point that is not a character",
        };
        write!(f, "{what} (U+{:04X})", u32::from(character))
    }
}

/// Parses a line of text that may be empty: trims it and converts it to NFC. `None`: nothing is visible.
///
/// # Errors
/// [`TextProblem::TooLong`] for more than `max` characters, [`TextProblem::Forbidden`].
pub fn parse_line(text: &str, max: usize) -> Result<Option<String>, TextProblem> {
    // NFC makes at most three characters of one, and at least one of four, so longer text need not be converted.
    let text = text.trim();
    if text.chars().nth(max.saturating_mul(4)).is_some() {
        return Err(TextProblem::TooLong(max));
    }
    let text = to_nfc(text);
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > max {
        return Err(TextProblem::TooLong(max));
    }
    if let Some(refused) = (0..chars.len()).find_map(|at| forbidden_at(&chars, at)) {
        return Err(TextProblem::Forbidden(refused));
    }
    Ok(chars.iter().copied().any(is_visible).then_some(text))
}

/// Parses a name: a line that is not empty.
///
/// # Errors
/// As [`parse_line`], and [`TextProblem::Empty`].
pub fn parse_name(text: &str, max: usize) -> Result<String, TextProblem> {
    parse_line(text, max)?.ok_or(TextProblem::Empty)
}

/// Removes the characters that [`parse_line`] rejects; control characters become spaces. For text that must not be
/// rejected: computer names, and text stored under earlier rules.
pub fn clean(text: &str) -> String {
    let mut text = to_nfc(text);
    loop {
        let cleaned = to_nfc(&without_forbidden(&text));
        if cleaned == text {
            break;
        }
        // Removal can make neighbours composable, or put a joiner in an invalid position.
        text = cleaned;
    }
    if text.chars().any(is_visible) {
        text.trim().to_owned()
    } else {
        String::new()
    }
}

/// Applies [`clean`] to a name.
///
/// # Errors
/// [`TextProblem::TooLong`], and [`TextProblem::Empty`] if nothing remains.
pub fn clean_name(text: &str, max: usize) -> Result<String, TextProblem> {
    if text.trim().chars().nth(max.saturating_mul(4)).is_some() {
        return Err(TextProblem::TooLong(max));
    }
    parse_name(&clean(text), max)
}

fn without_forbidden(text: &str) -> String {
    let kept = text.chars().filter_map(|c| match character_kind(c) {
        Some(CharacterKind::Control) => Some(' '),
        _ if is_forbidden(c) => None,
        _ => Some(c),
    });
    let chars: Vec<char> = kept.collect();
    let kept = (0..chars.len()).filter(|&at| forbidden_at(&chars, at).is_none());
    kept.map(|at| chars[at]).collect()
}

/// Whether nothing is visible after [`clean`].
pub fn is_blank(text: &str) -> bool {
    clean(text).is_empty()
}

/// Whether a character is forbidden in every position.
pub fn is_forbidden(c: char) -> bool {
    !matches!(
        character_kind(c),
        None | Some(CharacterKind::Joiner | CharacterKind::VariationSelector | CharacterKind::Tag)
    )
}

/// Converts text to composed form (NFC), so that text typed on macOS and on Windows is equal.
#[cfg(feature = "server")]
pub fn to_nfc(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    text.nfc().collect()
}

/// Browsers send the text as typed and the server composes it. The Unicode tables would be a large part of the browser
/// module.
#[cfg(not(feature = "server"))]
fn to_nfc(text: &str) -> String {
    text.to_owned()
}

/// The character at position `at`, if it is forbidden there.
fn forbidden_at(chars: &[char], at: usize) -> Option<ForbiddenCharacter> {
    let c = chars[at];
    let kind = character_kind(c)?;
    let is_in_place = match kind {
        CharacterKind::Joiner => is_joiner_in_place(chars, at),
        CharacterKind::VariationSelector => at > 0 && has_forms(chars[at - 1]),
        CharacterKind::Tag => is_in_flag(chars, at),
        _ => false,
    };
    (!is_in_place).then_some(ForbiddenCharacter(c, kind))
}

/// A joiner is valid between two visible characters that it can change, or after the virama at the end of an Indic
/// word.
fn is_joiner_in_place(chars: &[char], at: usize) -> bool {
    let mut before = chars[..at].iter().rev();
    let last = before.next().copied();
    let last = match last {
        Some(selector) if character_kind(selector) == Some(CharacterKind::VariationSelector) => {
            before.next().copied()
        }
        last => last,
    };
    // In Latin text a joiner changes only the comparison of names.
    let can_change = |c: char| !c.is_ascii() && is_visible(c);
    last.is_some_and(|last| {
        can_change(last)
            && match chars.get(at + 1) {
                Some(&next) if can_change(next) => true,
                Some(next) => next.is_whitespace() && is_virama(last),
                None => is_virama(last),
            }
    })
}

/// The sign that removes a consonant's vowel, in the blocks from Devanagari to Sinhala.
fn is_virama(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{d7f}') && u32::from(c) & 0x7f == 0x4d || c == '\u{dca}'
}

/// Any visible character may have variants. In ASCII: digits, `#` and `*`, for keycap emoji.
fn has_forms(c: char) -> bool {
    is_visible(c) && (!c.is_ascii() || c.is_ascii_digit() || matches!(c, '#' | '*'))
}

/// Whether the tag at `at` belongs to a flag: a black flag, three to six letters or digits, and an end tag.
fn is_in_flag(chars: &[char], at: usize) -> bool {
    const MOST: usize = 6;
    let is_tag = |c: char| character_kind(c) == Some(CharacterKind::Tag);
    let tags_before = chars[..at]
        .iter()
        .rev()
        .take(MOST + 1)
        .take_while(|c| is_tag(**c))
        .count();
    let start = at - tags_before;
    let letters = chars[start..]
        .iter()
        .take_while(|c| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}'))
        .count();
    start > 0
        && chars[start - 1] == '\u{1f3f4}'
        && (3..=MOST).contains(&letters)
        && chars.get(start + letters) == Some(&'\u{e007f}')
        && at <= start + letters
}

fn is_visible(c: char) -> bool {
    // The empty Braille cell is a symbol, but looks like a space.
    character_kind(c).is_none() && !c.is_whitespace() && c != '\u{2800}'
}

/// The kind of a special character. `None` for ordinary text.
fn character_kind(c: char) -> Option<CharacterKind> {
    Some(match c {
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => CharacterKind::Control,
        // Fast path for most text.
        ' '..='\u{ac}' => return None,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            CharacterKind::Direction
        }
        '\u{200c}' | '\u{200d}' => CharacterKind::Joiner,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
            CharacterKind::VariationSelector
        }
        '\u{e0020}'..='\u{e007f}' => CharacterKind::Tag,
        '\u{fdd0}'..='\u{fdef}' => CharacterKind::Noncharacter,
        _ if u32::from(c) & 0xfffe == 0xfffe => CharacterKind::Noncharacter,
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'.. => CharacterKind::Private,
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => CharacterKind::Invisible,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
