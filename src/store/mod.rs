//! What catalog and target share: locations, the listing of files, connections to servers and
//! object stores, and the records of committed runs. It knows paths, URLs and bytes, not plans or
//! queries.

mod access;
mod http;
mod instant;
mod listing;
mod location;
mod objects;
mod opened;
mod postgres;
mod record;
mod retry;
mod secrets;
mod tls;
mod uploads;
mod url;

pub use access::Access;
pub use instant::{Instant, Instants};
pub use listing::{list_objects, list_web, path_below, records_above};
pub use location::{FileKind, FileRef, Listing, Location, below, file_name, list, stamp};
pub use objects::{Object, Objects};
pub use opened::{Opened, Rest};
pub use postgres::{PgLocation, TableName, connection, password, quoted};
pub use record::{
    Input, LABEL, RECORD_DIR, RECORD_FORMAT, ROLE, Record, RecordFile, RemoteRecords, SymbolRange,
    announced_name, is_announced, is_apart, latest, records, records_beside,
};
pub use retry::{Fault, Retry};
pub use secrets::{anywhere, withheld, without_secrets};
pub use url::ObjectUrl;
