//! Settings of the allocator that `main.rs` chose.

use std::ffi::c_long;
use std::time::Duration;

/// The time that the allocator keeps free memory for reuse: writers allocate buffers for a row group several
/// times a second. With 20 ms instead, the process takes new pages from the kernel twice as often, which
/// costs 6 % more processor time.
const PURGE_AFTER: Duration = Duration::from_millis(200);

/// Makes the allocator return free memory to the system after `PURGE_AFTER`, or immediately if `at_once`.
/// Runs with a memory limit return it immediately, which costs time.
#[allow(unsafe_code)]
pub(super) fn set_purge_delay(at_once: bool) {
    /// The number of the option; the crate has no constant for it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    let kept = if at_once { Duration::ZERO } else { PURGE_AFTER };
    let kept = c_long::try_from(kept.as_millis()).unwrap_or(0);
    // SAFETY: the function sets one number, which mimalloc reads again at each use.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, kept) };
}
