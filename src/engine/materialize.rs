//! The only way from a plan to a committed state: stage, write, complete the record, publish.
//!
//! 1. `OpenTarget::prepare_staging` creates the stage. For a directory that is a directory next to it, with hard
//!    links to the retained files; for a table, a staging table. A bucket gets a mark that makes its prefix a
//!    target. A CSV file gets only a name. A crash leaves the old state and an empty stage.
//! 2. `write_job` computes the rows and writes them into the stage, and checks the row audits. A merge then writes
//!    the rows that it retains from files that it replaces. A crash leaves the old state and a part of the rows:
//!    files in the stage, pending uploads that the lease lists, or rows of the staging table.
//! 3. `complete_record` evaluates the audits, and fills in rows, files, watermarks and notices. It works in memory,
//!    so a crash leaves what a crash after step 2 leaves.
//! 4. `OpenTarget::publish` makes the staged rows the state of the target:
//!    - A directory: the record is written next to it, and new folders are announced in it. Then the stage and the
//!      directory are exchanged atomically, which is the commit. A crash before that leaves the old state, the
//!      stage, and maybe the record and announced folders without rows; a crash after it leaves the new state, and
//!      the old one under the name of the stage.
//!    - A CSV file: the record is written next to it, under a name with the inode of the staged file. Then the
//!      staged file and the target are exchanged, which is the commit. A crash before that leaves the old file and
//!      its record, plus the staged ones; a crash after it leaves the new file and its record, which readers find
//!      by the inode, plus the old file.
//!    - A bucket: the uploads are completed, then the next record is written if absent, which is the commit. A
//!      crash before that leaves the old state, and uploads or files that no record names; a crash after it leaves
//!      the new state, and files of the old one.
//!    - A table: one transaction moves the rows and inserts the record; its end is the commit. A crash before that
//!      leaves the old rows and the staging table; a crash after it leaves the new rows.
//! 5. The returned record gets the final duration and retries, which the stored one cannot know. A crash changes
//!    nothing.
//!
//! An error before the commit abandons the stage, and the target is as it was. After a crash, the next run that
//! acquires the target removes the leftovers; in a bucket, the next commit or `vacuum` removes files that no record
//! names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::run_options::CommitPermit;
use crate::commit::{OpenTarget, PublishOptions};
use crate::error::{Error, Result, pluralize_count};
use crate::host;
use crate::limits::cap_notices;
use crate::outside;
use crate::store::{Record, RecordFile, StoreRegistry};
use crate::traces::trace_step;
use crate::write::{self, AppendFilter, Manifest, OutputShape, Watermarks, WriteJob};

/// The rows and the record of a run, ready to be written into a target that the run has acquired.
pub(super) struct Materialization {
    /// The job that computes and writes the rows.
    pub(super) job: WriteJob,
    /// The job that rewrites rows of the target which stay, from files that cannot be retained as they are.
    pub(super) rewrite: Option<WriteJob>,
    /// The name of the target in messages.
    pub(super) place: String,
    /// The effect of the commit on the rows that the target holds.
    pub(super) publish: PublishOptions,
    /// The draft of the record, with everything that is known before the rows.
    pub(super) record: Record,
    /// The number of rows per symbol that the target held.
    pub(super) removed: BTreeMap<String, u64>,
    /// The requested symbols; each should have rows.
    pub(super) requested_symbols: Vec<String>,
    /// For each column, the notice for the case that it is NULL on every row.
    pub(super) about_null: Vec<String>,
    /// The number of rows that the target must hold in the end, if its own rows are rewritten.
    pub(super) expected_rows: Option<u64>,
    /// Returns the notices of the plan on its inputs, after it has run.
    pub(super) notices: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The registry of stores, which counts retries.
    pub(super) access: Arc<StoreRegistry>,
    /// The permission to commit.
    pub(super) permit: CommitPermit,
    /// When the run started.
    pub(super) started: Instant,
}

impl Materialization {
    /// Stages the rows and publishes them.
    ///
    /// # Errors
    /// If the plan, an audit or the target is at fault; the target is then as it was.
    pub(super) async fn commit_into(mut self, target: &mut dyn OpenTarget) -> Result<Record> {
        let OutputShape { entity, time, ref schema, .. } = *self.job.output;
        let (entity, time) = (schema.field(entity).name(), schema.field(time));
        if let Some(held) = target.held_record().filter(|_| self.is_append()) {
            let after = AppendFilter::from_watermarks(&held.watermarks, time.data_type());
            let after = after.map_err(|error| Error::target(error.to_string()))?;
            self.job.after = Some(Arc::new(after));
        }
        let keys = [entity.clone(), time.name().clone()];
        let stop = self.job.stop.clone();
        let written = async {
            let staging =
                target.prepare_staging(&self.job.output, &self.publish, &self.job.attempt);
            let staging = stop.run_until_stopped(staging).await?;
            let mut manifests = vec![write::write_job(&self.job, &staging).await?];
            if let Some(rewrite) = &self.rewrite {
                manifests.push(write::write_job(rewrite, &staging).await?);
            }
            let record = self.complete_record(&manifests, &keys)?;
            stop.run_until_stopped(self.permit.ask()).await?;
            Ok::<_, Error>((record, manifests))
        };
        let (record, manifests) = match trace_step("execute", written).await {
            Ok(written) => written,
            Err(error) => {
                target.abandon_staging().await;
                return Err(error);
            }
        };
        let published = target.publish(&self.publish, &manifests, record, &stop);
        let record = trace_step("commit", published).await?;
        // The stored record cannot know the time and the retries of its own commit.
        Ok(Record {
            seconds: self.started.elapsed().as_secs_f64(),
            retries: record.retries.max(self.access.total_retries()),
            ..record
        })
    }

    fn is_append(&self) -> bool {
        matches!(self.publish.mode, crate::commit::PublishMode::Append(_))
    }

    /// Returns the error of a run without rows.
    fn empty_result_error(&self) -> Error {
        let scope = &self.publish.scope;
        let why = match &scope.symbols {
            Some(symbols) if symbols.len() <= 5 => format!(" of {}", symbols.join(" or ")),
            _ => String::new(),
        };
        let comma = match &scope.symbols {
            Some(symbols) if symbols.len() > 1 => {
                "; a name with a comma in it is one symbol where --symbols stands twice"
            }
            _ => "",
        };
        Error::data(format!("the result is empty: no row{why} matches")).hint(format!(
            "check --symbols, --from, --until and the WHERE of the set; the target is as it was{comma}"
        ))
    }

    /// Completes the record after the rows are written.
    fn complete_record(&mut self, manifests: &[Manifest], keys: &[String; 2]) -> Result<Record> {
        let [manifest, rewritten @ ..] = manifests else {
            return Err(Error::internal("a run without a manifest"));
        };
        let mut record = std::mem::take(&mut self.record);
        if manifest.skipped > 0 {
            record.notices.push(format!(
                "{} left out because {} holds their symbol up to their time or later",
                pluralize_count(manifest.skipped, "row"),
                self.place
            ));
        }
        record.audits.extend(manifest.check_audits(&self.job.checks)?);
        let [entity, time] = keys;
        record.notices.extend(manifest.doubtful_keys(entity, time));
        record.notices.extend(cap_notices(manifest.empty_columns(&self.about_null)));
        record.rows = manifest.rows;
        if record.rows == 0 && !self.is_append() {
            return Err(self.empty_result_error());
        }
        if let Some(rows) = self.expected_rows.filter(|rows| *rows != record.rows) {
            return Err(Error::data(format!(
                "of {rows} rows that the target holds only {} would stay: others have the same {entity} and {time}",
                record.rows
            ))
            .hint("write to another directory; the target is as it was"));
        }
        let mut marks = Watermarks::from(manifest.watermarks.clone());
        let file = |file: &write::WrittenFile| RecordFile {
            path: file.path.clone(),
            rows: file.rows,
            bytes: file.bytes,
        };
        record.files = manifests.iter().flat_map(|m| &m.files).map(file).collect();
        // Rewritten rows of symbols outside the scope are already counted in the retained watermarks.
        let of_scope = self.publish.scope.symbols.as_ref();
        for (symbol, range) in rewritten.iter().flat_map(|manifest| &manifest.watermarks) {
            if of_scope.is_none_or(|symbols| symbols.contains(symbol)) {
                marks.merge_watermarks(BTreeMap::from([(symbol.clone(), range.clone())]));
            }
        }
        if let Some(kept) = self.publish.retained_files() {
            marks.merge_watermarks(kept.watermarks.clone());
            record.files.extend(kept.files.iter().cloned());
        }
        record.files.sort_by(|a, b| a.path.cmp(&b.path));
        record.watermarks = marks.into_ranges();
        record.run.clone_from(&manifest.run);
        record.retries += self.access.total_retries();
        let missing =
            self.requested_symbols.iter().filter(|symbol| !record.watermarks.contains_key(*symbol));
        let removed = |symbol: &String| self.removed.get(symbol);
        let missing = missing.map(|symbol| match removed(symbol) {
            Some(rows) => {
                format!("there is no row of {symbol}: the {rows} that the target held go")
            }
            None => format!("there is no row of {symbol}"),
        });
        let missing = cap_notices(missing.collect());
        record.notices.extend(missing);
        record.notices.extend((self.notices)());
        record.committed = outside::utc_now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        record.seconds = self.started.elapsed().as_secs_f64();
        record.peak_memory = host::peak_memory();
        Ok(record)
    }
}
