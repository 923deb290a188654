//! Comma-separated values (RFC 4180) that stay text in every spreadsheet.
//!
//! A cell that starts with `=`, `+`, `-` or `@` is a formula (OWASP, CSV injection), and names are untrusted. The separator
//! depends on the reader's locale: Excel in German splits at semicolons, even inside quotes. So every cell is quoted, and
//! an apostrophe precedes each character that could start a formula after any separator.

/// The start of a file. Without the byte order mark, Excel assumes the local code page and breaks umlauts. There is no
/// `sep=` line, because Excel then ignores the mark, and other programs read the line as data.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The separators that spreadsheets support.
const SEPARATORS: &str = ",;|:^~#*!/\\&$%<>_";

/// Characters that start a formula, also in the wide forms of East Asian keyboards.
const FORMULA_SIGNS: &str = "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}";

/// Encodes one line, with its end.
pub fn line<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|text| cell(text.as_ref())).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 2);
    cell.push('"');
    // Whether a cell could start here. Blanks and quotes do not change that: readers trim and unquote.
    let mut may_begin = true;
    for (place, c) in text.chars().enumerate() {
        let is_control = c.is_control();
        if may_begin && (FORMULA_SIGNS.contains(c) || (place == 0 && is_control)) {
            cell.push('\'');
        }
        if c == '"' {
            cell.push('"');
        }
        cell.push(c);
        let keeps = c.is_whitespace() || matches!(c, '"' | '\'' | '\u{feff}' | '\u{200b}');
        may_begin = is_control || SEPARATORS.contains(c) || (may_begin && keeps);
    }
    cell.push('"');
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells that a program finds in a line: split at commas outside of quotes, and at `separator` anywhere.
    fn cells_at(separator: char, line: &str) -> Vec<String> {
        line.split(separator)
            .flat_map(|part| part.split("\",\""))
            .map(|cell| {
                cell.trim_matches(|c: char| c == '"' || c.is_whitespace())
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn no_cell_starts_a_formula_with_any_separator() {
        let separators: Vec<char> = SEPARATORS.chars().chain(['\t', '\n', '\r']).collect();
        for separator in &separators {
            for sign in FORMULA_SIGNS.chars() {
                for between in ["", " ", "\"", "\"\"", " \" ", "\u{a0}"] {
                    for name in [
                        format!("{between}{sign}cmd|' /C calc'!A0"),
                        format!("PC{separator}{between}{sign}cmd|' /C calc'!A0{separator}x"),
                        format!("PC{separator}{separator}{between}{sign}1"),
                    ] {
                        let line = line(["Maria", &name]);
                        for cell in cells_at(*separator, line.trim_end()) {
                            assert!(
                                !cell.starts_with(|c| FORMULA_SIGNS.contains(c)),
                                "{name:?}: {cell:?} in {line:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn cells_are_quoted_and_keep_their_text() {
        for (text, written) in [
            ("Maria", "\"Maria\""),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("@cmd", "\"'@cmd\""),
            ("-2", "\"'-2\""),
            ("\t=1", "\"'\t'=1\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("PC;=cmd|' /C calc'!A0;x", "\"PC;'=cmd|' /C calc'!A0;x\""),
            // Other text is unchanged.
            ("Müller & Söhne - Büro", "\"Müller & Söhne - Büro\""),
            ("kim+desk@broker.example", "\"kim+desk@broker.example\""),
            ("2026-11-20T17:42:03.120Z", "\"2026-11-20T17:42:03.120Z\""),
            (
                "6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1",
                "\"6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1\"",
            ),
            ("C++ build (2)", "\"C++ build (2)\""),
        ] {
            assert_eq!(cell(text), written);
        }
        assert_eq!(line(["a", "b"]), "\"a\",\"b\"\r\n");
    }
}
