//! What the themes share: running the binary, making bars, reading a target as a stranger would.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::Schema;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Words that tell a person nothing: parts of DataFusion, of its parser, and its names of types.
pub(crate) const RAW: &str = r"panicked|bug in windrow|[Ii]nternal error|[A-Za-z]+ \{ [a-z_]+:|Some\(|Ident |[Pp]hysical|logical expression|retract_batch|ast node|<subquery>|(Csv|Parser|Arrow|Schema|Execution|Cast|Compute) error|OuterReference|DataFusion|Optimizer|Coercion|coercion|Signature|candidate|ExecutionPlan|\w+Exec\b|\b(Large)?Utf8(View)?\b|\bU?Int(8|16|32|64)\b|\bFloat(32|64)\b|Timestamp\(|MonthDayNano|\bStatement\(|not implemented|\n *\n";

/// The command, in a folder of its own, without the settings of whoever runs the tests.
pub(crate) fn windrow(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windrow"));
    command.current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    let theirs = |name: &str| name.starts_with("WINDROW_") || name.starts_with("AWS_");
    for (name, _) in std::env::vars().filter(|(name, _)| theirs(name)) {
        command.env_remove(name);
    }
    command
}

/// Runs words in a folder.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    windrow(folder).args(args).output().unwrap()
}

/// Runs words that must succeed; standard output.
pub(crate) fn ok(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs words that must fail; exit code and standard error.
pub(crate) fn fails(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = run(folder, args);
    let code = output.status.code().unwrap_or(-1);
    assert_ne!(code, 0, "{args:?}\n{}", String::from_utf8_lossy(&output.stdout));
    (code, String::from_utf8(output.stderr).unwrap())
}

/// Deterministic bars: a price that wanders, different for each symbol.
pub(crate) struct Bars {
    pub(crate) symbols: Vec<String>,
    pub(crate) days: usize,
}

impl Bars {
    pub(crate) fn new(symbols: usize, days: usize) -> Self {
        Self { symbols: (0..symbols).map(|s| format!("S{s:03}")).collect(), days }
    }

    /// One batch per symbol, in order.
    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        self.symbols.iter().enumerate().map(|(i, s)| self.batch(s, i as u64 + 1)).collect()
    }

    pub(crate) fn batch(&self, symbol: &str, seed: u64) -> RecordBatch {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut price = 50.0 + 100.0 * uniform();
        let mut columns: [Vec<f64>; 5] = Default::default();
        for _ in 0..self.days {
            let open = price * (0.99 + 0.02 * uniform());
            price *= 0.98 + 0.0401 * uniform();
            let (high, low) = (open.max(price) * 1.004, open.min(price) * 0.997);
            for (column, value) in columns.iter_mut().zip([open, high, low, price, 1e6 * uniform()])
            {
                column.push(value);
            }
        }
        let ts = Date32Array::from_iter_values((0..self.days).map(|d| 18_000 + d as i32));
        let mut named: Vec<(&str, ArrayRef)> = vec![
            ("symbol", Arc::new(StringArray::from(vec![symbol; self.days]))),
            ("ts", Arc::new(ts)),
        ];
        for (name, values) in ["open", "high", "low", "close", "volume"].into_iter().zip(columns) {
            named.push((name, Arc::new(Float64Array::from(values))));
        }
        RecordBatch::try_from_iter(named).unwrap()
    }

    pub(crate) fn all(&self) -> RecordBatch {
        let batches = self.batches();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    /// Writes one file with everything.
    pub(crate) fn write(&self, path: &Path) -> &Self {
        write_parquet(path, &self.all());
        self
    }
}

pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// The symbol of a batch that has one.
pub(crate) fn symbol_of(batch: &RecordBatch) -> String {
    use datafusion::arrow::array::AsArray;
    batch.column_by_name("symbol").unwrap().as_string::<i32>().value(0).to_string()
}

/// A batch without some columns.
pub(crate) fn without(batch: &RecordBatch, names: &[&str]) -> RecordBatch {
    let schema = batch.schema();
    let keep: Vec<usize> = (0..schema.fields().len())
        .filter(|i| !names.contains(&schema.field(*i).name().as_str()))
        .collect();
    batch.project(&keep).unwrap()
}

/// All files that `TARGET/**/*.parquet` finds.
pub(crate) fn plain_glob(target: &Path) -> Vec<PathBuf> {
    let pattern = format!("{}/**/*.parquet", target.display());
    glob::glob(&pattern).unwrap().map(|path| path.unwrap()).collect()
}

/// Reads a target as a reader that knows nothing of windrow: glob, open, decode. An error is a
/// file that is not whole or vanished.
pub(crate) fn plain_read(target: &Path) -> Result<Option<RecordBatch>, String> {
    let mut batches = Vec::new();
    for path in plain_glob(target) {
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.build())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        for batch in reader {
            batches.push(batch.map_err(|error| error.to_string())?);
        }
    }
    let Some(first) = batches.first() else { return Ok(None) };
    let schema: Arc<Schema> = first.schema();
    Ok(Some(concat_batches(&schema, &batches).map_err(|error| error.to_string())?))
}

/// The text of the last record of a directory.
pub(crate) fn last_record(target: &Path) -> String {
    let records = std::fs::read_dir(target.join("_windrow")).unwrap();
    let last = records.map(|record| record.unwrap().path()).max().unwrap();
    let (name, file) = (target.file_name().unwrap().to_string_lossy(), last.file_name().unwrap());
    let beside = target.with_file_name(format!(".{name}.windrow-records")).join(file);
    assert_eq!(std::fs::metadata(last).unwrap().len(), 0);
    std::fs::read_to_string(beside).unwrap()
}

/// Names beside a target that begin with a dot and speak of windrow, without the lock.
pub(crate) fn leftovers(target: &Path) -> Vec<String> {
    let parent = target.parent().unwrap();
    let names = std::fs::read_dir(parent).unwrap().map(|e| e.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.contains("windrow-stage") || name.ends_with(".new"))
        .collect()
}

/// The rows of a statement as CSV lines, without the header.
pub(crate) fn rows(folder: &Path, sql: &str, sources: &[&str]) -> Vec<String> {
    let mut args = vec!["sql", sql, "--format", "csv"];
    for source in sources {
        args.extend(["--source", source]);
    }
    ok(folder, &args).lines().skip(1).map(str::to_string).collect()
}

/// `run --json`, read.
pub(crate) fn run_json(folder: &Path, args: &[&str]) -> serde_json::Value {
    let mut all = args.to_vec();
    all.push("--json");
    serde_json::from_str(&ok(folder, &all)).unwrap()
}

/// Values by (symbol, ts) of one float column of a target, as bits.
pub(crate) fn bits(
    folder: &Path,
    target: &str,
    column: &str,
) -> BTreeMap<(String, String), Option<u64>> {
    let sql = format!("SELECT symbol, ts, {column} FROM f");
    let source = format!("f={target}");
    rows(folder, &sql, &[&source])
        .iter()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let value = cells[2].parse::<f64>().ok().map(f64::to_bits);
            ((cells[0].to_string(), cells[1].to_string()), value)
        })
        .collect()
}
