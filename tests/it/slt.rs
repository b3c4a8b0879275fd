//! SQL in, rows and plans out: the files below `tests/slt/`. `tests/cases/README.md` describes their format.
//! `WINDROW_REWRITE=1 ./test slt` writes the rows and plans of today into them, and `git diff` shows what changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use sqllogictest::{default_column_validator, default_normalizer, default_validator};
use windrow::Engine;
use windrow::config::Config;

use super::fixtures::write_fixtures;

/// The variable that makes this test write the files.
const REWRITE: &str = "WINDROW_REWRITE";

/// The numbers of threads at which rows must be the same, and those at which plans must be.
const ROW_THREADS: [usize; 2] = [1, 3];
const PLAN_THREADS: [usize; 5] = [1, 2, 3, 8, 16];

/// Batches so small that the rows of a fixture are several periods: one is 8 batches.
const BATCH_SIZE: usize = 2048;

type Rows = Vec<Vec<String>>;
type Output = Result<DBOutput<DefaultColumnType>, Failed>;

/// The session of one file: engines for several numbers of threads, which know the same sources and views.
struct Db {
    fixtures: Arc<PathBuf>,
    sources: BTreeMap<String, String>,
    /// The statements without rows, such as `CREATE VIEW`, in their order.
    definitions: Vec<String>,
    engines: BTreeMap<usize, Engine>,
}

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<windrow::error::Error> for Failed {
    fn from(error: windrow::error::Error) -> Self {
        Self(error.to_string())
    }
}

impl Db {
    fn open(fixtures: Arc<PathBuf>) -> Self {
        let sources = BTreeMap::from([("bars".to_string(), "bars".to_string())]);
        Self { fixtures, sources, definitions: Vec::new(), engines: BTreeMap::new() }
    }

    /// Returns the engine of a number of threads.
    async fn open_engine(&mut self, threads: usize) -> Result<&Engine, Failed> {
        if !self.engines.contains_key(&threads) {
            let config =
                Config { batch_size: BATCH_SIZE, parallel_workers: threads, ..Config::default() };
            let mut engine = Engine::new(config)?;
            for (name, fixture) in &self.sources {
                let location = self.fixtures.join(fixture);
                engine.add_source(name, &location.to_string_lossy()).await?;
            }
            for sql in &self.definitions {
                read_rows(&engine, sql).await?;
            }
            self.engines.insert(threads, engine);
        }
        Ok(&self.engines[&threads])
    }

    /// `SOURCE name = fixture`: views stay, and read the new file.
    fn set_source(&mut self, words: &str) -> Output {
        let (name, fixture) = words.split_once(" = ").expect("SOURCE name = fixture");
        self.sources.insert(name.trim().to_string(), fixture.trim().to_string());
        self.engines.clear();
        Ok(DBOutput::StatementComplete(0))
    }

    /// `PLAN query`: the operators that matter, one a line.
    /// `FILES query`: the files that are read, such as `1 of 6`, one line for each source.
    /// Both are the same at all numbers of threads.
    async fn plan_query(&mut self, sql: &str, read: fn(&dyn ExecutionPlan) -> Rows) -> Output {
        let mut first: Option<Rows> = None;
        for threads in PLAN_THREADS {
            let query = self.open_engine(threads).await?.query(sql).await?;
            let found = read(query.execution_plan().as_ref());
            match &first {
                Some(first) if *first != found => {
                    return Err(Failed(format!("{threads} threads: {found:?}, not {first:?}")));
                }
                _ => first = Some(found),
            }
        }
        let types = vec![DefaultColumnType::Text];
        Ok(DBOutput::Rows { types, rows: first.unwrap_or_default() })
    }

    async fn run_statement(&mut self, sql: &str) -> Output {
        let (mut first, mut columns) = (None::<Rows>, 0);
        for threads in ROW_THREADS {
            let engine = self.open_engine(threads).await?;
            let (count, rows) = read_rows(engine, sql).await?;
            columns = count;
            match &first {
                None => first = Some(rows),
                Some(first) => check_same_rows(threads, first, &rows)?,
            }
        }
        if columns == 0 {
            self.definitions.push(sql.to_string());
            self.engines.retain(|threads, _| ROW_THREADS.contains(threads));
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = vec![DefaultColumnType::Any; columns];
        Ok(DBOutput::Rows { types, rows: first.unwrap_or_default() })
    }
}

/// Returns the number of columns of a statement, and its rows.
async fn read_rows(engine: &Engine, sql: &str) -> Result<(usize, Rows), Failed> {
    let query = engine.query(sql).await?;
    let columns = query.schema().fields().len();
    let stream = query.stream()?;
    let batches: Vec<_> = stream.try_collect().await.map_err(|e| query.explain_error(&e))?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|column| show_cell(column, row)).collect());
        }
    }
    Ok((columns, rows))
}

fn show_cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".to_string();
    }
    let text = array_value_to_string(column, row).unwrap();
    if text.is_empty() { "(empty)".to_string() } else { text }
}

/// Compares rows, whose order is free unless the statement asks for one.
fn check_same_rows(
    threads: usize,
    first: &[Vec<String>],
    found: &[Vec<String>],
) -> Result<(), Failed> {
    let (mut sorted, mut other) = (first.to_vec(), found.to_vec());
    sorted.sort();
    other.sort();
    if sorted == other {
        return Ok(());
    }
    Err(Failed(format!("{threads} threads: {found:?}, not {first:?}")))
}

/// Lists the operators that matter, from the target down to the files.
fn list_operators(plan: &dyn ExecutionPlan) -> Rows {
    let short = match plan.name() {
        "StreamWindowExec" => "window",
        "WindowAggExec" | "BoundedWindowAggExec" => "STOCK",
        "RangeJoinExec" => "join",
        "HashJoinExec" | "SortMergeJoinExec" => "STOCK JOIN",
        "SortExec" => "sort",
        "RepartitionExec" => "exchange",
        "SortPreservingMergeExec" | "CoalescePartitionsExec" => "merge",
        "PeriodsExec" => "periods",
        _ => "",
    };
    let mut found = Rows::new();
    if !short.is_empty() {
        found.push(vec![short.to_string()]);
    }
    for child in plan.children() {
        found.extend(list_operators(child.as_ref()));
    }
    found
}

/// Lists how many files are read of each source.
fn list_files(plan: &dyn ExecutionPlan) -> Rows {
    let plan = displayable(plan).indent(false).to_string();
    let counts = plan.split("files=").skip(1).filter_map(|rest| rest.split([',', '\n']).next());
    counts.map(|count| vec![count.to_string()]).collect()
}

#[async_trait::async_trait]
impl AsyncDB for Db {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Output {
        match sql.trim().split_once(' ') {
            Some(("SOURCE", words)) => self.set_source(words),
            Some(("PLAN", query)) => self.plan_query(query, list_operators).await,
            Some(("FILES", query)) => self.plan_query(query, list_files).await,
            _ => self.run_statement(sql).await,
        }
    }

    fn engine_name(&self) -> &str {
        "windrow"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn shutdown(&mut self) {}
}

/// Runs one file, or writes into it what comes out.
async fn run_file(path: &Path, fixtures: Arc<PathBuf>) -> Result<(), String> {
    let mut runner = Runner::new(|| {
        let fixtures = Arc::clone(&fixtures);
        async { Ok(Db::open(fixtures)) }
    });
    if std::env::var_os(REWRITE).is_none() {
        return runner.run_file_async(path).await.map_err(|error| error.display(false).to_string());
    }
    let (rows, words, types) = (default_validator, default_normalizer, default_column_validator);
    runner
        .update_test_file(path, " ", rows, words, types)
        .await
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[test]
fn sql_files() {
    let folder = tempfile::tempdir().unwrap();
    write_fixtures(folder.path());
    let fixtures = Arc::new(folder.path().to_path_buf());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let paths: Vec<PathBuf> =
        glob::glob("tests/slt/**/*.slt").unwrap().map(|path| path.unwrap()).collect();
    assert!(!paths.is_empty());
    let run = |path: &Path| runtime.block_on(run_file(path, Arc::clone(&fixtures))).err();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = paths.iter().map(|path| scope.spawn(|| run(path))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        wrong.is_empty(),
        "{}\n`{REWRITE}=1 ./test slt` writes what comes out into the files, and `git diff` shows it",
        wrong.join("\n")
    );
}
