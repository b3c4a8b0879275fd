//! Lists the files of a source in an object store or on web servers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path as Key;

use super::bucket::{Bucket, RemoteObject};
use super::location::{
    FileKind, FileRef, Listing, check_single_target, hive_partitions, is_hidden_name,
    refuse_skipped_data,
};
use super::record::{RECORD_DIR, Record, RemoteRecords};
use super::registry::StoreRegistry;
use super::url::ObjectUrl;
use crate::error::{Error, Result};
use crate::limits::{LISTED_AGAIN_REMOTE, WEB_ADDRESSES_AT_ONCE};

/// Lists the parquet or CSV files of an object, a prefix or a glob. For a target that windrow wrote,
/// returns the files of its last commit along with the record.
///
/// # Errors
/// The location holds nothing, or both parquet and CSV files, or the server refuses a request.
pub async fn list_bucket_files(
    access: &StoreRegistry,
    url: &ObjectUrl,
) -> Result<(Listing, Option<Record>)> {
    let mut again = 0..LISTED_AGAIN_REMOTE;
    loop {
        match list_bucket_once(access, url).await {
            Err(error) if error.is_transient() && again.next().is_some() => {}
            listed => return listed,
        }
    }
}

async fn list_bucket_once(
    access: &StoreRegistry,
    url: &ObjectUrl,
) -> Result<(Listing, Option<Record>)> {
    let objects = access.open_bucket(url).await?;
    let is_glob = url.is_glob();
    let prefix = Key::parse(url.fixed()).map_err(|_| invalid_key_error(url))?;
    let mut listed = objects.list_prefix(&prefix).await?;
    let record = retain_committed(&objects, &prefix, is_glob, &mut listed).await?;
    // Without a named root, the directories of the whole key count as partitions.
    let mut root = if is_glob { Key::default() } else { prefix.clone() };
    if listed.is_empty() && !is_glob && FileKind::from_file_name(Path::new(url.key())).is_some() {
        listed.extend(objects.head_object(&prefix).await?);
        root = Key::default();
    }
    let asked = url.matcher()?;
    let visible =
        |name: &str| !Path::new(name).components().any(|part| is_hidden_name(Path::new(&part)));
    let is_data = |meta: &ObjectMeta| {
        visible(&path_below(&meta.location, &prefix))
            && asked(meta.location.as_ref())
            && FileKind::from_file_name(Path::new(meta.location.as_ref())).is_some()
    };
    for meta in &listed {
        let name = path_below(&meta.location, &prefix);
        let other = FileKind::from_file_name(Path::new(&name)).is_none() && meta.size > 0;
        if visible(&name) && !is_glob && other && !name.is_empty() {
            refuse_skipped_data(Path::new(&name))?;
        }
    }
    listed.retain(is_data);
    let bucket = url.bucket_url();
    let file = |meta: &ObjectMeta| {
        let name = format!("{bucket}/{}", meta.location);
        remote_file_ref(
            name,
            objects.object_from_meta(meta),
            meta,
            &path_below(&meta.location, &root),
        )
    };
    let files = listed.iter().map(file).collect();
    Ok((Listing::from_files(&url.to_string(), PathBuf::from(url.to_string()), files)?, record))
}

/// Retains the objects that runs of windrow committed, and those that belong to no target. A prefix may
/// be a target, lie within one, or contain some. Returns the record if the prefix itself is a target.
async fn retain_committed(
    objects: &Arc<Bucket>,
    prefix: &Key,
    is_glob: bool,
    listed: &mut Vec<ObjectMeta>,
) -> Result<Option<Record>> {
    let mut targets = list_records_above(objects, prefix).await;
    let mut below: BTreeMap<Key, Vec<ObjectMeta>> = BTreeMap::new();
    for meta in listed.iter() {
        let parts: Vec<_> = meta.location.parts().collect();
        if let [root @ .., folder, _] = parts.as_slice()
            && folder.as_ref() == RECORD_DIR
        {
            below.entry(root.iter().cloned().collect()).or_default().push(meta.clone());
        }
    }
    if !is_glob {
        let bucket = objects.name();
        let within = below.keys().filter(|root| *root != prefix);
        let names = within.map(|root| format!("{bucket}/{root}")).collect();
        check_single_target(&format!("{bucket}/{prefix}"), names)?;
    }
    targets.extend(below);
    let mut own = None;
    for (root, metas) in targets {
        let records = RemoteRecords::from_listing(objects, &root.clone().join(RECORD_DIR), &metas);
        if !records.is_target() {
            continue;
        }
        // A target without a record: no run has committed yet.
        let record = records.read_latest().await?;
        let files = record.iter().flat_map(|record| &record.files);
        let files: BTreeSet<&str> = files.map(|file| file.path.as_str()).collect();
        let within = |meta: &ObjectMeta| meta.location.prefix_matches(&root);
        listed.retain(|meta| {
            !within(meta) || files.contains(path_below(&meta.location, &root).as_str())
        });
        let is_whole = root.prefix_matches(prefix);
        let found = listed.iter().filter(|meta| within(meta)).count();
        if is_whole && found < files.len() {
            return Err(Error::data(format!(
                "{root} lacks {} of the files of its last run",
                files.len() - found
            ))
            .hint("run again: another run may have committed meanwhile; if it stays so, somebody removed them: write the target anew")
            .as_transient());
        }
        if root == *prefix && !is_glob {
            own = record;
        }
    }
    Ok(own)
}

/// Lists the record folders of all ancestors of a prefix, outermost first.
pub async fn list_records_above(objects: &Bucket, prefix: &Key) -> Vec<(Key, Vec<ObjectMeta>)> {
    let parts: Vec<_> = prefix.parts().collect();
    let above = (0..parts.len()).map(|length| parts[..length].iter().cloned().collect::<Key>());
    let look = |root: Key| async move {
        // A user may lack access to the prefixes above: ignore the error.
        let listed = objects.list_prefix(&root.clone().join(RECORD_DIR)).await.unwrap_or_default();
        (root, listed)
    };
    stream::iter(above).map(look).buffered(WEB_ADDRESSES_AT_ONCE).collect().await
}

/// Lists files of web servers. With `keep_going`, files that cannot be fetched are left out and
/// returned with the reason.
///
/// # Errors
/// A file does not exist, there are both parquet and CSV files, or a server refuses the request.
pub async fn list_web_files(
    access: &StoreRegistry,
    urls: &[ObjectUrl],
    keep_going: bool,
) -> Result<(Listing, Vec<(String, String)>)> {
    let look = |url: ObjectUrl| async move {
        let found = async { access.open_bucket(&url).await?.find_web_object(&url).await };
        let gone = || Error::data(format!("{url} does not exist"));
        let found = found.await.and_then(|found| found.ok_or_else(gone));
        let found = found.map_err(|error| error.with_bad_file(url.to_string()));
        found.map(|(object, meta)| remote_file_ref(url.to_string(), object, &meta, url.key()))
    };
    let mut looked = stream::iter(urls.to_vec()).map(look).buffered(WEB_ADDRESSES_AT_ONCE);
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
    Ok((Listing::from_files(&place, PathBuf::new(), files)?, left_out))
}

fn remote_file_ref(name: String, object: RemoteObject, meta: &ObjectMeta, below: &str) -> FileRef {
    FileRef {
        open_file: None,
        path: PathBuf::from(name),
        stamp: object_stamp(meta),
        object: Some(object),
        size: meta.size,
        modified: SystemTime::from(meta.last_modified),
        partitions: hive_partitions(Path::new(below)),
    }
}

/// Returns what identifies the bytes of an object: its version, its ETag, or its modification time.
fn object_stamp(meta: &ObjectMeta) -> Option<String> {
    let named = |what: &str, text: &String| format!("{what} {text}");
    let version = meta.version.as_ref().map(|version| named("version", version));
    let tag = || meta.e_tag.as_ref().map(|tag| named("tag", tag));
    let written = || {
        let at = meta.last_modified;
        (at.timestamp() > 0).then(|| named("written", &at.to_rfc3339()))
    };
    version.or_else(tag).or_else(written)
}

/// Returns the part of a key after a prefix; empty if the key does not begin with it.
pub fn path_below(key: &Key, prefix: &Key) -> String {
    let parts = key.prefix_match(prefix);
    parts
        .map(|parts| parts.map(|p| p.as_ref().to_string()).collect::<Vec<_>>().join("/"))
        .unwrap_or_default()
}

fn invalid_key_error(url: &ObjectUrl) -> Error {
    Error::usage(format!("{url} is no key of an object"))
        .hint("write the names between the slashes as they are, without . and ..")
}
