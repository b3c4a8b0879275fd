//! The feature sets that come with the program: the files of `queries/`.

use include_dir::{Dir, include_dir};

use super::FeatureSet;
use crate::error::{Error, Result};

static QUERIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/queries");

/// Returns the names of the shipped feature sets, sorted.
pub fn shipped_set_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = QUERIES
        .files()
        .filter(|file| file.path().extension().is_some_and(|e| e == "sql"))
        .filter_map(|file| file.path().file_stem()?.to_str())
        .collect();
    names.sort_unstable();
    names
}

/// Returns a shipped feature set; None if there is none of that name.
///
/// # Errors
/// The header of the set is wrong, which the tests exclude.
pub fn load_shipped_set(name: &str) -> Result<Option<FeatureSet>> {
    let path = format!("{name}.sql");
    let Some(file) = QUERIES.get_file(&path) else { return Ok(None) };
    let text = file
        .contents_utf8()
        .ok_or_else(|| Error::internal(format!("queries/{path} is not UTF-8")))?;
    let set = FeatureSet::parse(name, &format!("queries/{path}"), text)?;
    Ok(Some(FeatureSet { shipped: true, ..set }))
}
