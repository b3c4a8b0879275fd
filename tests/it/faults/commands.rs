//! The commands that are interrupted, in a folder of their own, and what their target must hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Date32Array, Float64Array, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::util::display::array_value_to_string;
use windrow::Engine;
use windrow::commit::Target;
use windrow::config::Config;
use windrow::engine::{
    CompactOptions, Export, ExportOptions, ExportOutcome, RunOptions, Scope, export_feature_sets,
};
use windrow::error::{Error, Result};
use windrow::feature_set::FeatureSet;
use windrow::stop::Stopper;
use windrow::store::{Record, StoreRegistry};
use windrow::write::Progress;

use crate::support::write_parquet;

/// Symbols of the bars, and their days before and after some were added.
pub(super) const SYMBOLS: [&str; 3] = ["A", "B", "C"];
const DAYS: [usize; 2] = [4, 6];

/// What is done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A run into a target that is not there.
    First,
    /// A run that replaces what an earlier one wrote.
    Again,
    /// A run that replaces the rows of one symbol.
    Merge,
    /// `compact --append` of bars with more days.
    Append,
    /// `compact` of a target in place.
    Compact,
    /// `export` over an earlier one, and `--resume` to heal it.
    Export,
}

/// Rows by symbol and day: the bits of their state.
pub(super) type Rows = BTreeMap<(String, String), u64>;

/// A folder with bars and sets in which a command is tried.
pub(super) struct Scene {
    pub(super) command: Command,
    pub(super) folder: PathBuf,
    /// The target as typed.
    pub(super) target: String,
    /// The outputs that become folders.
    pub(super) partition_by: &'static str,
    pub(super) config: Config,
}

impl Scene {
    /// Bars and sets as they are before the command, and the state that it finds.
    pub(super) async fn prepare(&self) {
        std::fs::create_dir_all(&self.folder).unwrap();
        self.write_bars(DAYS[0], 7.0);
        self.write_set(1);
        match self.command {
            Command::First => {}
            Command::Append | Command::Compact => {
                self.compact("bars.parquet", self.command == Command::Append).await.unwrap();
            }
            _ => self.run(Scope::default(), false).await.unwrap(),
        }
        self.write_set(2);
        match self.command {
            Command::Append => self.write_bars(DAYS[1], 7.0),
            Command::Merge => self.write_bars(DAYS[0], 8.0),
            _ => {}
        }
    }

    /// Does the command.
    pub(super) async fn act(&self) -> Result<()> {
        match self.command {
            Command::First | Command::Again => self.run(Scope::default(), false).await,
            Command::Merge => {
                let symbols = Some(vec![SYMBOLS[1].to_string()]);
                self.run(Scope { symbols, ..Scope::default() }, true).await
            }
            Command::Append => self.compact("bars.parquet", true).await,
            Command::Compact => self.compact("", false).await,
            Command::Export => self.export(false).await,
        }
    }

    /// Does what a person would do after it failed.
    pub(super) async fn heal(&self) -> Result<()> {
        match self.command {
            Command::Export => self.export(true).await,
            _ => self.act().await,
        }
    }

    /// The rows that the target holds before the command, and after it.
    pub(super) fn expected(&self) -> [Rows; 2] {
        let rows = |days: usize, state: &dyn Fn(&str) -> f64| -> Rows {
            let days = |symbol: &&'static str| {
                let symbol = *symbol;
                (0..days).map(move |day| (symbol, format!("2024-01-0{}", day + 1)))
            };
            let all = SYMBOLS.iter().flat_map(days);
            all.map(|(symbol, day)| ((symbol.to_string(), day), state(symbol).to_bits())).collect()
        };
        let [few, many] = DAYS;
        match self.command {
            Command::First => [Rows::new(), rows(few, &|_| 2.0)],
            Command::Again | Command::Export => [rows(few, &|_| 1.0), rows(few, &|_| 2.0)],
            Command::Merge => {
                let merged = |symbol: &str| if symbol == SYMBOLS[1] { 8.0 } else { 7.0 };
                [rows(few, &|_| 7.0), rows(few, &merged)]
            }
            Command::Append => [rows(few, &|_| 7.0), rows(many, &|_| 7.0)],
            Command::Compact => [rows(few, &|_| 7.0), rows(few, &|_| 7.0)],
        }
    }

    /// The last record of the target; None if there is none.
    pub(super) async fn record(&self) -> Result<Option<Record>> {
        let access = Arc::new(StoreRegistry::from_config(&self.config));
        let target = self.target().to_backend(&access);
        let record = target.latest().await?;
        if let Some(record) = &record {
            assert!(target.is_there(record).await?, "what the record names is not there");
        }
        Ok(record)
    }

    fn target(&self) -> Target {
        Target::parse(&self.target).unwrap()
    }

    fn write_bars(&self, days: usize, state: f64) {
        let rows = SYMBOLS.len() * days;
        let symbols: Vec<&str> = SYMBOLS.iter().flat_map(|symbol| vec![*symbol; days]).collect();
        let ts = (0..rows).map(|row| 19_723 + (row % days) as i32);
        let columns: [(&str, ArrayRef); 3] = [
            ("symbol", Arc::new(StringArray::from_iter_values(symbols))),
            ("ts", Arc::new(Date32Array::from_iter_values(ts))),
            ("state", Arc::new(Float64Array::from(vec![state; rows]))),
        ];
        let bars = RecordBatch::try_from_iter(columns).unwrap();
        write_parquet(&self.folder.join("bars.parquet"), &bars);
    }

    fn write_set(&self, state: usize) {
        // Rows are merged with those of the same definition: there the bars change.
        let state = match self.command {
            Command::Merge => "state".to_string(),
            _ => format!("{state}.0 AS state"),
        };
        let by = self.partition_by;
        let text = format!("/*\npartition_by: [{by}]\n*/\nSELECT symbol, ts, {state} FROM bars");
        std::fs::write(self.folder.join("s.sql"), text).unwrap();
    }

    fn set(&self) -> Result<FeatureSet> {
        FeatureSet::read(&self.folder.join("s.sql"))
    }

    fn bars(&self) -> String {
        self.folder.join("bars.parquet").to_str().unwrap().to_string()
    }

    async fn run(&self, scope: Scope, merge: bool) -> Result<()> {
        let mut engine = Engine::new(self.config.clone())?;
        engine.add_source("bars", &self.bars()).await?;
        let (_keep, stop) = Stopper::new();
        let options =
            RunOptions { scope, replace: true, merge, ..RunOptions::new(self.target(), stop) };
        engine.run(self.set()?, &options).await.map(|_| ())
    }

    /// Compacts a file of the folder into the target; without one, the target in place.
    async fn compact(&self, source: &str, append: bool) -> Result<()> {
        let mut engine = Engine::new(self.config.clone())?;
        let (_keep, stop) = Stopper::new();
        let source = match source {
            "" => self.target.clone(),
            file => self.folder.join(file).to_str().unwrap().to_string(),
        };
        let target = self.target();
        let progress = Arc::new(Progress::default());
        let options = CompactOptions { source, target, append, progress, stop };
        engine.compact(&options).await.map(|_| ())
    }

    async fn export(&self, resume: bool) -> Result<()> {
        let (_keep, stop) = Stopper::new();
        let options = ExportOptions {
            config: self.config.clone(),
            sources: vec![("bars".to_string(), self.bars())],
            resume,
            progress: Arc::new(Progress::default()),
            stop,
        };
        let sets = [Export { set: self.set()?, target: self.target() }];
        for exported in export_feature_sets(&sets, &options, |_, _| {}).await? {
            match exported {
                ExportOutcome::Failed(error) => return Err(error),
                ExportOutcome::LeftOut(set) => return Err(Error::internal(set)),
                ExportOutcome::Committed(_) | ExportOutcome::Current => {}
            }
        }
        Ok(())
    }
}

/// The rows of batches with the columns of the sets.
pub(super) fn rows_of<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        let text = |name: &str, row: usize| {
            array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap()
        };
        let states = batch.column_by_name("state").unwrap().as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let key = (text("symbol", row), text("ts", row));
            let before = rows.insert(key, states.value(row).to_bits());
            assert_eq!(before, None, "a row is there twice");
        }
    }
    rows
}

/// Whether a record tells of just these rows.
pub(super) fn check_record(
    record: Option<&Record>,
    rows: &Rows,
) -> std::result::Result<(), String> {
    let Some(record) = record else {
        return if rows.is_empty() { Ok(()) } else { Err("rows without a record".into()) };
    };
    let in_files: u64 = record.files.iter().map(|file| file.rows).sum();
    if in_files != rows.len() as u64 {
        return Err(format!(
            "the files of the record hold {in_files} rows, {} are there",
            rows.len()
        ));
    }
    for symbol in SYMBOLS {
        let there = rows.keys().filter(|(of, _)| of == symbol).count() as u64;
        let told = record.watermarks.get(symbol).map_or(0, |range| range.rows);
        if there != told {
            return Err(format!("the record tells of {told} rows of {symbol}, {there} are there"));
        }
    }
    Ok(())
}

/// The names in a folder, and below it, without those of some.
pub(super) fn names(folder: &Path, without: &dyn Fn(&str) -> bool) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.retain(|name| !without(name));
    found.sort();
    found
}
