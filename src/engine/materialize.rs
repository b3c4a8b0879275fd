//! The one way from a plan to a committed state: stage, write, tell, publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::commit::{OpenTarget, PublishOptions};
use crate::error::{Error, Result, pluralize_count};
use crate::host;
use crate::limits::cap_notices;
use crate::outside;
use crate::store::{Record, RecordFile, StoreRegistry};
use crate::write::{self, AppendFilter, Manifest, OutputShape, Watermarks, WriteJob};

/// What a run computed, on its way into a target that it has taken.
pub(super) struct Materialization {
    /// The rows.
    pub(super) job: WriteJob,
    /// Rows of the target that stay, of files that are not kept as they are.
    pub(super) rewrite: Option<WriteJob>,
    /// What messages call the target.
    pub(super) place: String,
    /// What becomes of the rows that the target holds.
    pub(super) publish: PublishOptions,
    /// What is known of the run before its rows.
    pub(super) record: Record,
    /// Rows per symbol that the target held.
    pub(super) removed: BTreeMap<String, u64>,
    /// The symbols that were asked for; each should have rows.
    pub(super) requested_symbols: Vec<String>,
    /// For each column, what to say if it is NULL on every row.
    pub(super) about_null: Vec<String>,
    /// How many rows the target must hold in the end, where its own are written anew.
    pub(super) expected_rows: Option<u64>,
    /// What the plan has to say of its inputs once it has run.
    pub(super) notices: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// How servers are reached, which counts what was tried again.
    pub(super) access: Arc<StoreRegistry>,
    /// When the run started.
    pub(super) started: Instant,
}

impl Materialization {
    /// Writes the rows aside and publishes them.
    ///
    /// # Errors
    /// Of the plan, of an audit, or of the place; the target is then as it was.
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
            Ok::<_, Error>((record, manifests))
        };
        let (record, manifests) = match written.await {
            Ok(written) => written,
            Err(error) => {
                target.abandon_staging().await;
                return Err(error);
            }
        };
        let record = target.publish(&self.publish, &manifests, record, &stop).await?;
        // The record itself cannot tell how its commit went.
        Ok(Record {
            seconds: self.started.elapsed().as_secs_f64(),
            retries: record.retries.max(self.access.total_retries()),
            ..record
        })
    }

    fn is_append(&self) -> bool {
        matches!(self.publish.mode, crate::commit::PublishMode::Append(_))
    }

    /// The error of a run without rows.
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

    /// The record of the run, once its rows are written.
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
        // Of rows that were written anew those of other symbols are counted as what is kept.
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
