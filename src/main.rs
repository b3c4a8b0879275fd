//! Parse, call, map the error to the exit code.

use std::process::ExitCode;

/// Arrow takes and gives back many buffers of a few hundred kB, which the system's allocator
/// returns to the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(windrow::cli::run_command_line())
}
