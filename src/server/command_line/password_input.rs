//! Reads a password from standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Stdin};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::CommandError;
use crate::server::output::report_line;

/// Maximum input in bytes, more than any valid password.
const MAX_BYTES: u64 = 4096;

/// Reads one line without line break and byte order mark, which editors add. A terminal does not echo it.
pub(super) fn read_password() -> Result<String, CommandError> {
    let stdin = io::stdin();
    let mut text = String::new();
    if stdin.is_terminal() {
        let silent = SilentTerminal::of(&stdin).map_err(CommandError::Input)?;
        report_line!("Password (not shown):");
        let read = stdin.lock().take(MAX_BYTES).read_line(&mut text);
        drop(silent);
        read.map_err(CommandError::Input)?;
    } else {
        let read = stdin.take(MAX_BYTES).read_to_string(&mut text);
        read.map_err(CommandError::Input)?;
    }
    only_line(&text).map(str::to_owned)
}

/// Returns the only line of `text`.
fn only_line(text: &str) -> Result<&str, CommandError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains(['\n', '\r']) {
        return Err(CommandError::Usage(
            "the password must be one line, but standard input has more".to_owned(),
        ));
    }
    if line.is_empty() {
        return Err(CommandError::Usage("no password on standard input".to_owned()));
    }
    Ok(line)
}

/// Turns off the echo of a terminal until it is dropped.
struct SilentTerminal<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> SilentTerminal<'a> {
    fn of(terminal: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for SilentTerminal<'_> {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before) {
            tracing::warn!(%error, "terminal not restored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_mark_and_line_break_are_removed() {
        for text in [
            "secret",
            "secret\n",
            "secret\r\n",
            "\u{feff}secret",
            "\u{feff}secret\r\n",
        ] {
            assert_eq!(only_line(text).ok(), Some("secret"), "{text:?}");
        }
        // Only one of each.
        assert_eq!(only_line(" sec\u{feff}ret \n").ok(), Some(" sec\u{feff}ret "));
        for wrong in [
            "",
            "\n",
            "\u{feff}",
            "\u{feff}\r\n",
            "one\ntwo",
            "one\n\n",
            "one\r\n\r\n",
        ] {
            assert!(only_line(wrong).is_err(), "{wrong:?}");
        }
    }
}
