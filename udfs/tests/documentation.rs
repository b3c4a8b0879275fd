//! Tests that `docs/functions.md` matches the tables. `UPDATE_DOCS=1` writes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

#[test]
fn the_file_is_what_the_tables_say() {
    let path = Path::new("../docs/functions.md").to_path_buf();
    let rendered = windrow_udfs::docs::functions_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &rendered).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == rendered, "docs/functions.md is old: run the tests with UPDATE_DOCS=1");
}
