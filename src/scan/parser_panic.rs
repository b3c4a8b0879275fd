//! Calls into parsers of bytes that somebody else wrote: a panic in one is the file's error.

use std::path::Path;

use super::footer::corrupt_file_error;
use crate::error::{Result, catch_panic};

/// What a parser makes of the bytes of a file.
///
/// # Errors
/// Of the parser, and that the file is corrupt if it panics.
pub(crate) fn catch_parser_panic<T>(path: &Path, parse: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_panic(parse).unwrap_or_else(|panic| Err(corrupt_file_error(path, panic)))
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
}
