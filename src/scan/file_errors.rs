//! The errors of files that cannot be read. A parser may panic on bytes that another program wrote:
//! that is an error of the file, too.

use std::path::Path;

use crate::error::{Error, Result, catch_panic, downcast_own_error};
use crate::store::display_path;

/// Runs a parser on the bytes of a file, and turns a panic into an error.
///
/// # Errors
/// The parser fails, or it panics: then the file is reported as corrupt.
pub(crate) fn catch_parser_panic<T>(path: &Path, parse: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_panic(parse).unwrap_or_else(|panic| Err(corrupt_file_error(path, panic)))
}

/// Returns the error for a file that cannot be decoded.
pub(crate) fn corrupt_file_error(path: &Path, why: impl std::fmt::Display) -> Error {
    let why = why.to_string();
    let why = why.lines().next().unwrap_or_default();
    let why = why.split(" { ").next().unwrap_or_default(); // Debug output tells users nothing.
    let why = ["Parquet argument error: ", "Parquet error: ", "External: ", "EOF: "]
        .iter()
        .fold(why, |why, prefix| why.trim_start_matches(prefix));
    Error::data(format!("{} is truncated or corrupt ({why})", display_path(path)))
        .hint("write it again, move it out of the source, or leave it out with --keep-going")
        .with_bad_file(display_path(path))
}

/// Returns the error for a file that cannot be read or decoded.
pub(crate) fn unreadable_file_error(
    path: &Path,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    if let Some(too_many) = too_many_open(error) {
        let name = display_path(path);
        return Error::data(format!("cannot read {name}: {too_many}"))
            .hint("raise the limit on open files (ulimit -n), or compact the source");
    }
    downcast_own_error(error).cloned().unwrap_or_else(|| corrupt_file_error(path, error))
}

/// Returns the system's message if too many files are open: then nothing is wrong with the file.
fn too_many_open(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(io) = io.filter(|io| matches!(io.raw_os_error(), Some(23 | 24))) {
            return Some(io.to_string());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn panics_are_errors_of_the_file() {
        let path = Path::new("bars/a.parquet");
        assert_eq!(catch_parser_panic(path, || Ok(1)).ok(), Some(1));
        let told = catch_parser_panic::<()>(path, || panic!("index out of bounds"))
            .map_err(|e| e.to_string());
        assert!(
            told.is_err_and(
                |told| told.starts_with("bars/a.parquet is truncated or corrupt (index")
            )
        );
        let own = catch_parser_panic::<()>(path, || Err(Error::data("x")))
            .map_err(|error| error.to_string());
        assert_eq!(own, Err("x".to_string()));
    }

    #[test]
    fn a_missing_file_handle_is_no_fault_of_the_file() {
        let path = Path::new("bars/a.parquet");
        let error = unreadable_file_error(path, &std::io::Error::from_raw_os_error(24));
        assert_eq!(error.bad_file(), None);
        assert!(error.to_string().contains("raise the limit on open files (ulimit -n)"), "{error}");
        let corrupt = unreadable_file_error(path, &std::io::Error::other("no magic"));
        assert_eq!(corrupt.bad_file(), Some("bars/a.parquet"));
    }
}
