//! Calls into parsers of bytes that somebody else wrote: a panic in one is the file's error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use super::footer::corrupt;
use crate::error::Result;

thread_local! {
    /// Whether this thread is within such a call, whose panics nobody should see.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// What a parser makes of the bytes of a file.
///
/// # Errors
/// Of the parser, and that the file is corrupt if it panics.
pub(crate) fn parsed<T>(path: &Path, parse: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !WITHIN.get() {
                tell(panic);
            }
        }));
    });
    let before = WITHIN.replace(true);
    let done = catch_unwind(AssertUnwindSafe(parse));
    WITHIN.set(before);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(corrupt(path, text.unwrap_or("its bytes make no sense")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn panics_are_errors_of_the_file() {
        let path = Path::new("bars/a.parquet");
        assert_eq!(parsed(path, || Ok(1)).ok(), Some(1));
        let told = parsed::<()>(path, || panic!("index out of bounds")).map_err(|e| e.to_string());
        assert!(
            told.is_err_and(
                |told| told.starts_with("bars/a.parquet is truncated or corrupt (index")
            )
        );
        let own = parsed::<()>(path, || Err(Error::data("x"))).map_err(|error| error.to_string());
        assert_eq!(own, Err("x".to_string()));
    }
}
