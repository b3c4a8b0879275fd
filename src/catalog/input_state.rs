//! The state of a source's files: each with a stamp or digest that tells its bytes from others.

use std::io::copy;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::InputState;
use crate::error::Result;
use crate::identity::encode_hex;
use crate::scan::{FileInfo, corrupt_file_error};
use crate::store::{FileRef, display_path};

/// Returns the files with the stamps that their system reports. Files of a target are never written
/// again: the `run` that committed them stands for their bytes, since a link to such a file changes
/// its stamp.
pub(super) fn states_by_stamp(files: &[Arc<FileInfo>], run: Option<&str>) -> Vec<InputState> {
    let state = |info: &Arc<FileInfo>| {
        let stamp = match run {
            Some(run) => Some(format!("run {run}")),
            None => info.file.stamp.clone(),
        };
        (absolute_location(&info.file), info.file.size, stamp)
    };
    files.iter().map(state).collect()
}

/// Returns the files with the digests of their bytes, all of which are read.
pub(super) fn states_by_content(files: &[Arc<FileInfo>]) -> Result<Vec<InputState>> {
    let state = |info: &Arc<FileInfo>| {
        Ok((
            absolute_location(&info.file),
            info.file.size,
            Some(format!("bytes {}", digest_contents(&info.file)?)),
        ))
    };
    files.iter().map(state).collect()
}

/// Returns the location of a file, independent of the working directory.
fn absolute_location(file: &FileRef) -> String {
    match file.object {
        None => {
            display_path(&std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()))
        }
        Some(_) => display_path(&file.path),
    }
}

/// Returns the digest of the bytes of a file.
fn digest_contents(file: &FileRef) -> Result<String> {
    let failed = |error: std::io::Error| corrupt_file_error(&file.path, error);
    let mut hash = Sha256::new();
    copy(&mut file.open_reader(0).map_err(failed)?.reader_from(0), &mut hash).map_err(failed)?;
    Ok(encode_hex(&hash.finalize()))
}
