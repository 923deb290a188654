//! The command line. Each command is one call.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker_portal::server::command_line::run()
}
