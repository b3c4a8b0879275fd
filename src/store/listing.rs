//! The files of a source that lies in an object store or on web servers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path as Key;

use super::access::Access;
use super::location::{FileKind, FileRef, Listing, hidden, partitions};
use super::objects::Object;
use super::record::{RECORD_DIR, Record, RemoteRecords};
use super::url::ObjectUrl;
use crate::error::{Error, Result};

/// Web addresses that are asked for at a time.
const TOGETHER: usize = 16;

/// How often a target is listed again that another run committed into meanwhile.
const AGAIN: usize = 3;

/// Lists the parquet or CSV files of an object, a prefix or a glob. Of a target that windrow wrote
/// they are those of its last commit, whose record comes along.
///
/// # Errors
/// Nothing there, parquet and CSV mixed, or a server that refuses.
pub async fn list_objects(access: &Access, url: &ObjectUrl) -> Result<(Listing, Option<Record>)> {
    let mut again = 0..AGAIN;
    loop {
        match list_once(access, url).await {
            Err(error) if error.is_transient() && again.next().is_some() => {}
            listed => return listed,
        }
    }
}

async fn list_once(access: &Access, url: &ObjectUrl) -> Result<(Listing, Option<Record>)> {
    let objects = access.objects(url).await?;
    let is_glob = url.is_glob();
    let prefix = Key::parse(url.fixed()).map_err(|_| wrong(url))?;
    let mut listed = objects.list(&prefix).await?;
    let records = RemoteRecords::of(&objects, &prefix.clone().join(RECORD_DIR), &listed);
    let record = if is_glob { None } else { records.latest().await? };
    if !is_glob && record.is_none() && records.is_target() {
        listed.clear(); // No run has committed yet.
    }
    if let Some(record) = &record {
        let files: BTreeSet<&str> = record.files.iter().map(|file| file.path.as_str()).collect();
        listed.retain(|meta| files.contains(below(&meta.location, &prefix).as_str()));
        if listed.len() < record.files.len() {
            return Err(Error::data(format!(
                "{url} lacks {} of the files of its last run",
                record.files.len() - listed.len()
            ))
            .hint("run again: another run may have committed meanwhile; if it stays so, somebody removed them: write the target anew")
            .transient());
        }
    }
    // Directories of the whole name count where no one names the root.
    let mut root = if is_glob { Key::default() } else { prefix.clone() };
    if listed.is_empty() && !is_glob && FileKind::of(Path::new(url.key())).is_some() {
        listed.extend(objects.head(&prefix).await?);
        root = Key::default();
    }
    let asked = url.matcher()?;
    let is_data = |meta: &ObjectMeta| {
        let visible = |name: &Path| !name.components().any(|part| hidden(Path::new(&part)));
        visible(Path::new(&below(&meta.location, &prefix)))
            && asked(meta.location.as_ref())
            && FileKind::of(Path::new(meta.location.as_ref())).is_some()
    };
    listed.retain(is_data);
    let bucket = url.bucket_url();
    let file = |meta: &ObjectMeta| {
        let name = format!("{bucket}/{}", meta.location);
        file(name, objects.object(meta), meta, &below(&meta.location, &root))
    };
    let files = listed.iter().map(file).collect();
    Ok((Listing::of(&url.to_string(), PathBuf::from(url.to_string()), files)?, record))
}

/// Lists files of web servers; with `keep_going` those that cannot be had are left out, with the reason.
///
/// # Errors
/// One that is not there, parquet and CSV mixed, or a server that refuses.
pub async fn list_web(
    access: &Access,
    urls: &[ObjectUrl],
    keep_going: bool,
) -> Result<(Listing, Vec<(String, String)>)> {
    let look = |url: ObjectUrl| async move {
        let found = async { access.objects(&url).await?.web(&url).await };
        let gone = || Error::data(format!("{url} does not exist"));
        let found = found.await.and_then(|found| found.ok_or_else(gone));
        let found = found.map_err(|error| error.in_file(url.to_string()));
        found.map(|(object, meta)| file(url.to_string(), object, &meta, url.key()))
    };
    let mut looked = stream::iter(urls.to_vec()).map(look).buffered(TOGETHER);
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    while let Some(found) = looked.next().await {
        match found {
            Ok(file) => files.push(file),
            Err(error) if keep_going => {
                let name = error.bad_file().unwrap_or_default().to_string();
                left_out.push((name, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    let place = urls.first().map(ToString::to_string).unwrap_or_default();
    Ok((Listing::of(&place, PathBuf::new(), files)?, left_out))
}

fn file(name: String, object: Object, meta: &ObjectMeta, below: &str) -> FileRef {
    FileRef {
        path: PathBuf::from(name),
        object: Some(object),
        size: meta.size,
        modified: SystemTime::from(meta.last_modified),
        partitions: partitions(Path::new(below)),
    }
}

/// What stands behind a prefix.
fn below(key: &Key, prefix: &Key) -> String {
    let parts = key.prefix_match(prefix);
    parts
        .map(|parts| parts.map(|p| p.as_ref().to_string()).collect::<Vec<_>>().join("/"))
        .unwrap_or_default()
}

fn wrong(url: &ObjectUrl) -> Error {
    Error::usage(format!("{url} is no key of an object"))
        .hint("write the names between the slashes as they are, without . and ..")
}
