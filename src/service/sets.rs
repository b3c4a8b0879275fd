//! `GET /sets`, `/functions`, `/targets`: what the service can compute, and what its targets hold.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures::StreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::parts::Segments;
use super::problem::{Problem, ProblemReport};
use super::state::Service;
use crate::commit::Target;
use crate::engine::PlannedSet;
use crate::error::{Error, Result as OwnResult};
use crate::feature_set::FeatureSet;
use crate::report::{FunctionReport, HistoryReport};
use crate::store::{redact_passwords, without_secrets};
use crate::worker::SetParams;

/// The time that one target has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The targets that are asked at the same time.
const TARGETS_AT_ONCE: usize = 16;

/// All sets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SetList {
    sets: Vec<SetReport>,
}

/// A feature set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SetReport {
    name: String,
    /// The purpose, as its header says it.
    description: String,
    /// The column that names the symbol.
    entity: String,
    /// The column of the times.
    time: String,
    /// Its columns; empty if it cannot be planned now.
    outputs: Vec<OutputEntry>,
    /// The reason why it cannot be planned now.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An output of a set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct OutputEntry {
    name: String,
    /// The Arrow type.
    #[serde(rename = "type")]
    data_type: String,
    description: String,
    /// True if it looks ahead.
    label: bool,
    /// The rows before its first value.
    lookback: u64,
}

/// A set with its SQL.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SetDetail {
    #[serde(flatten)]
    set: SetReport,
    /// The file as it was written.
    sql: String,
}

/// All targets with their runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TargetList {
    targets: Vec<TargetEntry>,
}

/// A target of the configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TargetEntry {
    name: String,
    /// The location, without passwords.
    location: String,
    /// The committed runs, the oldest first.
    #[schema(value_type = Vec<Object>)]
    runs: Vec<serde_json::Value>,
    /// The reason why it cannot be read now.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[utoipa::path(
    get, path = "/sets", tag = "sets",
    responses((status = 200, body = SetList), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn list_sets(State(service): State<Arc<Service>>) -> Json<SetList> {
    let loaded = service.views.loaded();
    let mut sets = Vec::new();
    for (name, set) in loaded.sets() {
        sets.push(describe_set(set, loaded.view(name, &SetParams::new()).await));
    }
    Json(SetList { sets })
}

#[utoipa::path(
    get, path = "/sets/{name}", tag = "sets", params(("name" = String, Path)),
    responses((status = 200, body = SetDetail), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn get_set(
    State(service): State<Arc<Service>>,
    Segments(name): Segments<String>,
) -> Result<Json<SetDetail>, Problem> {
    let loaded = service.views.loaded();
    let set = loaded.set(&name).map_err(|error| Problem::new(StatusCode::NOT_FOUND, &error))?;
    let view = loaded.view(&name, &SetParams::new()).await;
    Ok(Json(SetDetail { set: describe_set(set, view), sql: set.to_text().text }))
}

fn describe_set(set: &FeatureSet, view: OwnResult<Arc<crate::worker::SetView>>) -> SetReport {
    let description = set.header.description.clone().unwrap_or_default();
    let (outputs, error) = match &view {
        Ok(view) => (describe_outputs(&view.planned), None),
        Err(error) => (Vec::new(), Some(redact_passwords(&error.to_string()))),
    };
    let (entity, time) = (set.header.entity.clone(), set.header.time.clone());
    SetReport { name: set.name.clone(), description, entity, time, outputs, error }
}

fn describe_outputs(planned: &PlannedSet) -> Vec<OutputEntry> {
    let outputs = planned.outputs.iter();
    outputs
        .map(|output| OutputEntry {
            name: output.name.clone(),
            data_type: output.data_type.to_string(),
            description: planned.output_description(&output.name).unwrap_or_default(),
            label: output.label,
            lookback: output.need.lookback as u64,
        })
        .collect()
}

#[utoipa::path(
    get, path = "/functions", tag = "sets",
    responses((status = 200, description = "What `windrow functions --json` prints.", body = Vec<Object>))
)]
pub(super) async fn list_functions() -> Json<Vec<FunctionReport>> {
    Json(windrow_udfs::all_functions().map(FunctionReport::from_entry).collect())
}

#[utoipa::path(
    get, path = "/targets", tag = "sets",
    responses((status = 200, body = TargetList), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn list_targets(State(service): State<Arc<Service>>) -> Json<TargetList> {
    let loaded = service.views.loaded();
    let config = loaded.engine().config();
    let mut places: Vec<(String, String)> = Vec::new();
    for (name, location) in &config.targets {
        match location.contains("{set}") {
            false => places.push((name.clone(), location.clone())),
            true => places.extend(
                loaded
                    .sets()
                    .keys()
                    .map(|set| (format!("{name} {set}"), location.replace("{set}", set))),
            ),
        }
    }
    let entries = futures::stream::iter(places).map(|(name, location)| {
        let loaded = Arc::clone(&loaded);
        async move {
            let found = tokio::time::timeout(PATIENCE, read_history(&loaded, &location)).await;
            let late = |_| Err(Error::target("the target did not answer in time"));
            let found = found.unwrap_or_else(late);
            let location = without_secrets(&location);
            match found {
                Ok(runs) => TargetEntry { name, location, runs, error: None },
                Err(error) => {
                    let error = Some(redact_passwords(&error.to_string()));
                    TargetEntry { name, location, runs: Vec::new(), error }
                }
            }
        }
    });
    let entries: Vec<TargetEntry> = entries.buffered(TARGETS_AT_ONCE).collect().await;
    // A set that was never written to its own target is no news.
    let written = |entry: &TargetEntry| {
        !entry.runs.is_empty() || entry.error.is_some() || !entry.name.contains(' ')
    };
    Json(TargetList { targets: entries.into_iter().filter(written).collect() })
}

async fn read_history(
    loaded: &crate::worker::LoadedSets,
    location: &str,
) -> OwnResult<Vec<serde_json::Value>> {
    let target = Target::parse(location)?;
    let history = loaded.engine().commit(&target).history().await?;
    let report = HistoryReport::from_history(&target, &history);
    let runs = serde_json::to_value(report).ok().and_then(|mut report| {
        match report.get_mut("runs").map(serde_json::Value::take) {
            Some(serde_json::Value::Array(runs)) => Some(runs),
            _ => None,
        }
    });
    Ok(runs.unwrap_or_default())
}
