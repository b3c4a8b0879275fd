//! What catalog and target share: locations, the listing of files, connections to servers, and the
//! records of committed runs. It knows paths, URLs and bytes, not plans or queries.

mod location;
mod postgres;
mod record;
mod retry;
mod tls;

pub use location::{FileKind, FileRef, Listing, Location, below, file_name, list};
pub use postgres::{PgLocation, TableName, connection, password, quoted};
pub use record::{Input, RECORD_DIR, Record, RecordFile, SymbolRange, latest, records};
pub use retry::{Fault, Retry};
