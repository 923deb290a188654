//! Standard output and standard error. `println!` and `eprintln!` panic when the reader is gone or the disk is full, so lints
//! forbid them, and everything is written through here.
//!
//! A descriptor that was closed before the start (`>&-`) is no error: Rust's runtime opens `/dev/null` in its place.

use std::{
    fmt,
    io::{self, Write as _},
};

/// Where a command writes what it was asked for. An error of it is the command's error.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
pub fn stdout() -> io::Stdout {
    io::stdout()
}

/// Writes one line of what a command was asked for.
///
/// # Errors
/// The reader is gone, or the disk is full.
pub fn print(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes a line for whoever watches: progress, or why a command failed. If nobody can read it, nothing is lost but that.
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
