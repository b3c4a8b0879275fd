//! Parse, call, map the error to the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(windrow::cli::main())
}
