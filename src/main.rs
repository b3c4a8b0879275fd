//! The `windrow` program: runs the command line and exits with its code.

use std::process::ExitCode;

/// Arrow allocates and frees many buffers of a few hundred kB, which the system's allocator would
/// return to the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(windrow::cli::run_command_line())
}
