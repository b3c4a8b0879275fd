//! `windrow check`: reports findings in feature sets without running them.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;

use super::SourceArgs;
use super::stdout::print_text;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result, TextPlace};
use crate::feature_set::FeatureSet;
use crate::outside::files;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Feature sets: .sql files, directories of them, or names
    #[arg(value_name = "FILE|DIR", required = true)]
    files: Vec<String>,
    #[command(flatten)]
    sources: SourceArgs,
}

#[allow(clippy::print_stderr)]
pub(super) async fn check_sets(args: CheckArgs, config: Config) -> Result<u8> {
    let mut engine = Engine::new(config)?;
    args.sources.open_sources(&mut engine).await?;
    let (mut checked, mut found) = (0, 0);
    for path in expand_set_args(&args.files)? {
        checked += 1;
        for finding in collect_findings(&engine, &path).await {
            found += 1;
            print_text(&format!("{finding}\n"))?;
        }
    }
    let sets = if checked == 1 { "feature set" } else { "feature sets" };
    let findings = if found == 1 { "finding" } else { "findings" };
    eprintln!("{checked} {sets} checked, {found} {findings}");
    Ok(u8::from(found > 0))
}

async fn collect_findings(engine: &Engine, path: &str) -> Vec<Error> {
    let set: FeatureSet = match engine.find_set(path) {
        Ok(set) => set,
        Err(error) if Path::new(path).is_file() => return vec![place_at_start(path, error)],
        Err(error) => return vec![error],
    };
    if let Err(error) = engine.bind_standard_bars(&set) {
        return vec![place_at_start(path, error)];
    }
    engine.check_set(set, &Default::default()).await
}

/// Places an error without a position at the first character of its file.
fn place_at_start(path: &str, error: Error) -> Error {
    error.at_place(TextPlace { file: path.to_string(), line: 1, column: 1 })
}

/// Expands directories to the `.sql` files below them. A directory without any is taken for the name of a set
/// if it is a plain name, and refused if it is a path.
pub(super) fn expand_set_args(given: &[String]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for name in given {
        let path = Path::new(name);
        if !path.is_dir() {
            files.push(name.clone());
            continue;
        }
        let before = files.len();
        collect_sql_files(path, &mut BTreeSet::new(), &mut files)?;
        if files.len() == before && !name.contains('/') {
            files.push(name.clone()); // The directory may be the target of a set of this name.
        } else if files.len() == before {
            return Err(Error::usage(format!("{name} holds no .sql file")));
        }
    }
    Ok(files)
}

/// Collects the `.sql` files below a directory. Visits each directory once, since links may lead to one
/// again.
fn collect_sql_files(
    folder: &Path,
    seen: &mut BTreeSet<(u64, u64)>,
    files: &mut Vec<String>,
) -> Result<()> {
    let unlisted =
        |error: std::io::Error| Error::usage(format!("cannot list {}: {error}", folder.display()));
    let entries = files::list_unvisited(folder, seen).map_err(unlisted)?;
    for path in entries.iter().map(std::fs::DirEntry::path) {
        if path.is_dir() {
            collect_sql_files(&path, seen, files)?;
        } else if path.extension().is_some_and(|e| e == "sql") {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
