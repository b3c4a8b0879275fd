//! What the command line asks of the allocator that `main.rs` chose.

use std::ffi::c_long;
use std::time::Duration;

/// How long memory that is free is kept, in case it is wanted again: writers take room for a row group several times a
/// second. After 20 ms instead, pages come anew twice as often, for 6 % more processor time.
const PURGE_AFTER: Duration = Duration::from_millis(200);

/// Gives free memory back to the system after a moment, or at once for runs with a limit, which
/// costs time.
#[allow(unsafe_code)]
pub(super) fn set_purge_delay(at_once: bool) {
    /// The number of the option; the crate has no name for it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    let kept = if at_once { Duration::ZERO } else { PURGE_AFTER };
    let kept = c_long::try_from(kept.as_millis()).unwrap_or(0);
    // SAFETY: the function sets one number, and mimalloc reads it anew at each use.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, kept) };
}
