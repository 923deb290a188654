//! Standard output and standard error. `println!` and `eprintln!` panic if the reader is gone or the disk is full. Lints
//! forbid them; use this module instead.
//!
//! A descriptor that is closed before the start (`>&-`) is not an error: Rust's runtime opens `/dev/null` instead.

use std::{
    fmt,
    io::{self, Write as _},
};

/// Standard output, for the result of a command. A write error is the command's error.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
pub fn stdout() -> io::Stdout {
    io::stdout()
}

/// Writes one line of a command's result.
///
/// # Errors
/// The reader is gone, or the disk is full.
pub fn print(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes a line for the operator: progress, or why a command failed. Ignores write errors.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
pub fn report(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// [`print`] with the arguments of `println!`.
macro_rules! print_line {
    ($($argument:tt)*) => {
        $crate::server::output::print(format_args!($($argument)*))
    };
}

/// [`report`] with the arguments of `eprintln!`.
macro_rules! report_line {
    ($($argument:tt)*) => {
        $crate::server::output::report(format_args!($($argument)*))
    };
}

pub(crate) use {print_line, report_line};
