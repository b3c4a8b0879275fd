//! What catalog and target share: locations, the listing of files, and the records of committed
//! runs. It knows paths and bytes, not tables or queries.

mod location;
mod record;

pub use location::{FileKind, FileRef, Listing, Location, below, file_name, list};
pub use record::{Input, RECORD_DIR, Record, RecordFile, SymbolRange, latest, records};
