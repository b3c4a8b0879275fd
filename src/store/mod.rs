//! The parts that catalog and targets share: locations, file listings, connections to servers and
//! object stores, and the records of committed runs. This room knows paths, URLs and bytes, not plans
//! or queries.

mod bucket;
mod file_cache;
mod file_reader;
mod http;
mod location;
mod object_version;
mod postgres;
mod record;
mod registry;
mod remote_listing;
mod retry;
mod secrets;
mod time_point;
mod tls;
mod uploads;
mod url;

pub use bucket::{Bucket, RemoteObject};
pub use file_cache::{FileCacheCounts, RemoteFileCache};
pub use file_reader::{FileReader, OffsetReader};
pub use location::{
    FileKind, FileRef, Listing, Location, display_path, is_listed_below, list_local_files,
    metadata_stamp,
};
pub use postgres::{PgLocation, TableName, acquire_connection, password, quote_ident};
pub use record::{
    COLUMN_ROLE_KEY, LABEL_ROLE, RECORD_DIR, RECORD_FORMAT, Record, RecordFile, RecordInput,
    RemoteRecords, SymbolRange, announced_name, has_detached_records, is_announced, is_record_name,
    list_records, read_latest_record, record_text_dir,
};
pub use registry::StoreRegistry;
pub use remote_listing::{list_bucket_files, list_records_above, list_web_files, path_below};
pub use retry::{CallError, Retry};
pub use secrets::{anywhere, redact_passwords, withheld, without_secrets};
pub use time_point::{TimeColumn, TimePoint};
pub use url::ObjectUrl;
