//! The identity of the result of a run: the definition of the set, and the state of its inputs.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;

use super::{Engine, OutputColumn, PlannedSet};
use crate::analysis::column_digests;
use crate::error::Result;
use crate::identity::{Definition, SourceDefinition, digest_inputs, digest_texts};
use crate::sql::diagnose_error;
use crate::store::RecordInput;

impl Engine {
    /// Returns the identity of the result of a set, as a parquet target stores it.
    pub fn definition_fingerprint(&self, planned: &PlannedSet) -> String {
        self.output_definition(planned, true).digest()
    }

    /// Returns the definition of a set and of how it is written. Only parquet has a compression, and may store
    /// floats as 32 bits.
    pub(super) fn output_definition(&self, planned: &PlannedSet, parquet: bool) -> Definition {
        let narrows = self.config().float32 && parquet;
        let column = |output: &OutputColumn| {
            let narrow = narrows && output.data_type == DataType::Float64;
            let ty = if narrow { &DataType::Float32 } else { &output.data_type };
            (output.name.clone(), ty.to_string())
        };
        let compression = self.config().compression;
        Definition {
            versions: program_versions(),
            statements: planned.statements.clone(),
            functions: planned.function_versions(),
            sources: self.source_definitions(planned),
            header: header_identity(planned),
            columns: planned.outputs.iter().map(column).collect(),
            compression: if parquet { compression.to_string() } else { String::new() },
        }
    }

    fn source_definitions(&self, planned: &PlannedSet) -> BTreeMap<String, SourceDefinition> {
        let opened = self.sources();
        let sources = planned.source_names().into_iter().filter_map(|name| {
            let source = opened.get(&name)?;
            let schema = source.schema();
            let columns = schema.fields().iter();
            let columns = columns.map(|f| (f.name().clone(), f.data_type().to_string())).collect();
            Some((name, SourceDefinition { columns, policy: source.config().row_policy() }))
        });
        sources.collect()
    }

    /// Returns the identity of each output column, in order. It does not change with other outputs, names or the
    /// text of the set; it changes with the rows, the sources, the versions and the stored type.
    ///
    /// # Errors
    /// None for a set that was planned.
    pub fn column_identities(&self, planned: &PlannedSet) -> Result<Vec<String>> {
        let digests =
            column_digests(&planned.plan).map_err(|error| diagnose_error(&error, "", &[]))?;
        // The digests already cover the columns of a source and their types.
        let sources = self.source_definitions(planned).into_iter();
        let policies: Vec<_> = sources.map(|(name, source)| (name, source.policy)).collect();
        let beside = [format!("{:?}", program_versions()), format!("{policies:?}")];
        let narrows = self.config().float32;
        // A value belongs to an entity and a time.
        let header = &planned.set.header;
        let of = |name: &String| {
            let at = planned.outputs.iter().position(|output| output.name == *name);
            at.and_then(|at| digests.get(at)).cloned().unwrap_or_default()
        };
        let keys = [of(&header.entity), of(&header.time)];
        let identity = |(digest, output): (&String, &OutputColumn)| {
            let narrow = narrows && output.data_type == DataType::Float64;
            let ty = if narrow { &DataType::Float32 } else { &output.data_type };
            digest_texts(&[digest, &keys[0], &keys[1], &beside[0], &beside[1], &ty.to_string()])
        };
        Ok(digests.iter().zip(&planned.outputs).map(identity).collect())
    }

    /// Returns the sources that a set reads, with the identity of their rows.
    ///
    /// # Errors
    /// As [`crate::catalog::Source::input_states`].
    pub(super) async fn read_input_states(
        &self,
        planned: &PlannedSet,
    ) -> Result<BTreeMap<String, RecordInput>> {
        let mut read = BTreeMap::new();
        for name in planned.source_names() {
            if let Some(source) = self.sources().get(&name) {
                let state = digest_inputs(source.input_states().await?);
                read.insert(name, RecordInput { state, ..source.input_summary() });
            }
        }
        Ok(read)
    }
}

/// Returns the versions of the programs that may change a bit of a value.
pub(super) fn program_versions() -> BTreeMap<&'static str, String> {
    let datafusion = datafusion::DATAFUSION_VERSION;
    BTreeMap::from([
        ("windrow", env!("CARGO_PKG_VERSION").to_string()),
        ("datafusion", datafusion.to_string()),
    ])
}

/// Returns the header entries that identify the outputs.
fn header_identity(planned: &PlannedSet) -> BTreeMap<&'static str, Vec<String>> {
    let header = &planned.set.header;
    let outputs = header.outputs.iter().map(|(name, text)| format!("{name}: {text}"));
    BTreeMap::from([
        ("description", header.description.iter().cloned().collect()),
        ("entity", vec![header.entity.clone()]),
        ("time", vec![header.time.clone()]),
        ("labels", header.labels.clone()),
        ("outputs", outputs.collect()),
        ("partition_by", header.partition_by.clone()),
        ("audits", header.audits.iter().map(|audit| audit.display_text()).collect()),
    ])
}
