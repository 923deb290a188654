//! Comma-separated values (RFC 4180) that stay text in every spreadsheet.
//!
//! Names come from outside, and a cell that begins with `=`, `+`, `-` or `@` is a formula (OWASP, CSV injection). Which
//! character separates cells depends on the reader's locale and settings, not on us: Excel in German splits at
//! semicolons, inside quotes too when it took a comma for text. So every cell is quoted, and an apostrophe stands before
//! each sign that could begin a cell for any separator.

/// What a file begins with: without this mark (UTF-8) Excel takes the bytes for the local code page, and breaks umlauts.
/// No `sep=` line: Excel then ignores the mark, and every other program takes the line for data.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a spreadsheet may be told to split cells at.
const SEPARATORS: &str = ",;|:^~#*!/\\&$%<>_";

/// What begins a formula, in the wide forms of East Asian keyboards too.
const FORMULA_SIGNS: &str = "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}";

/// Writes one line, with its end.
pub fn line<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|text| cell(text.as_ref())).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 2);
    cell.push('"');
    // Whether a cell could begin here. Blanks and quotes leave it so: readers trim and unquote.
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

    /// Every cell that a program finds in a line: at commas outside of quotes, and at `separator` wherever it stands.
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
            // What is no formula stays as it is.
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
