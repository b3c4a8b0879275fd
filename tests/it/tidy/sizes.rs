//! Files, functions and lines that a reader can take in.

use super::syntax::{CRATES, read_sources};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;
/// Of comments; `rustfmt` sees to code.
const LINE_COLUMNS: usize = 120;

/// Files above the limit with their lines.
const LONG_FILES: [(&str, usize); 1] = [("tests/it/postgres.rs", 867)];

/// Functions above the limit with their lines.
const LONG_FUNCTIONS: [(&str, &str, usize); 17] = [
    ("src/analysis/relation.rs", "analyze_node", 77),
    ("src/catalog/file_scan.rs", "scan", 83),
    ("src/catalog/postgres_table.rs", "open", 64),
    ("src/catalog/postgres_table.rs", "scan", 86),
    ("src/commit/bucket/lease.rs", "acquire", 61),
    ("src/commit/table/shape.rs", "from_output", 70),
    ("src/engine/compact.rs", "prepare_materialization", 71),
    ("src/engine/materialize.rs", "complete_record", 66),
    ("src/engine/plan_checks.rs", "check_window_frame", 66),
    ("src/scan/csv_text.rs", "profile_columns", 71),
    ("src/scan/schema.rs", "reconcile_schemas", 76),
    ("src/sql/depth.rs", "check_depth", 62),
    ("src/sql/diagnose.rs", "schema_error", 69),
    ("src/sql/indicator_calls.rs", "positional_arguments", 74),
    ("src/sql/nested_windows.rs", "hoist_select", 82),
    ("src/store/http.rs", "send_once", 64),
    ("src/store/registry.rs", "build_s3", 75),
];

/// Tells what is above a limit, has grown, or need not be in the list of exceptions.
fn compare(found: &[(String, usize)], exceptions: &[(String, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, lines) in found {
        match exceptions.iter().find(|(name, _)| name == what) {
            None => wrong.push(format!("{what} has {lines} lines: split it by its ideas")),
            Some((_, known)) if lines > known => {
                wrong.push(format!("{what} has grown from {known} to {lines} lines: split it"));
            }
            Some((_, known)) if lines < known => wrong.push(format!(
                "{what} has shrunk from {known} to {lines} lines: write that into the list"
            )),
            Some(_) => {}
        }
    }
    for (what, _) in exceptions {
        if !found.iter().any(|(name, _)| name == what) {
            wrong.push(format!("{what} is below the limit now: take it off the list"));
        }
    }
    wrong
}

#[test]
fn files_have_one_idea_and_few_lines() {
    let mut found = Vec::new();
    for file in CRATES.iter().chain(&["tests", "benches", "examples"]).flat_map(|c| read_sources(c))
    {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            found.push((file.path.display().to_string(), lines));
        }
    }
    let exceptions = LONG_FILES.map(|(path, lines)| (path.to_string(), lines));
    let wrong = compare(&found, &exceptions);
    assert!(wrong.is_empty(), "more than {FILE_LINES} lines:\n{}", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut found = Vec::new();
    for file in CRATES.iter().flat_map(|folder| read_sources(folder)) {
        for function in file.functions() {
            if function.lines > FUNCTION_LINES {
                found.push((format!("{} {}", file.path.display(), function.name), function.lines));
            }
        }
    }
    let exceptions = LONG_FUNCTIONS.map(|(path, name, lines)| (format!("{path} {name}"), lines));
    let wrong = compare(&found, &exceptions);
    assert!(wrong.is_empty(), "more than {FUNCTION_LINES} lines:\n{}", wrong.join("\n"));
}

#[test]
fn lines_fit_beside_another_file() {
    let mut wrong = Vec::new();
    for file in CRATES.iter().chain(&["tests"]).flat_map(|folder| read_sources(folder)) {
        for (number, line) in file.text.lines().enumerate() {
            // Tables of Markdown have one line for each row.
            let is_table = line.trim_start().starts_with("//! |");
            let is_comment = line.trim_start().starts_with("//") && !is_table;
            if is_comment && line.chars().count() > LINE_COLUMNS {
                wrong.push(format!("{}:{}", file.path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "more than {LINE_COLUMNS} columns:\n{}", wrong.join("\n"));
}

#[test]
fn exceptions_may_only_shrink() {
    let named = |name: &str, lines| (name.to_string(), lines);
    assert!(compare(&[named("a", 70)], &[named("a", 70)]).is_empty());
    for (found, listed) in [(71, 70), (69, 70)] {
        assert_eq!(compare(&[named("a", found)], &[named("a", listed)]).len(), 1);
    }
    assert_eq!(compare(&[], &[named("a", 70)]).len(), 1);
    assert_eq!(compare(&[named("a", 70)], &[]).len(), 1);
}
