//! To be filled.

use crate::udwf::Entry;

pub(crate) static INDICATORS: &[Entry] = &[];
