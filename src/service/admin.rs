//! `POST /admin/reload`, and what SIGHUP does: `windrow.yaml`, sets and certificates are taken over.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Problem, ProblemReport};
use super::startup::{list_changed_keys, load_sets};
use super::state::Service;
use crate::error::Result as OwnResult;

/// The result of a reload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// The number of sets that are served now.
    sets: usize,
    /// The keys of `serve` whose new values count only after a restart.
    needs_restart: Vec<String>,
}

#[utoipa::path(
    post, path = "/admin/reload", tag = "service",
    responses((status = 200, body = Reloaded), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn reload(State(service): State<Arc<Service>>) -> Result<Json<Reloaded>, Problem> {
    Ok(Json(service.reload_settings()?))
}

impl Service {
    /// Takes over the configuration and the sets as they are now. If they are wrong, the old ones stay.
    pub(super) fn reload_settings(&self) -> OwnResult<Reloaded> {
        let before = self.settings();
        let config = (self.reconfigure)()?;
        let sets = load_sets(&config, self.file_cache.clone())?;
        let needs_restart = list_changed_keys(&before.config.serve, &config.serve);
        let count = sets.sets().len();
        self.reload(config, sets);
        tracing::info!(sets = count, "reloaded");
        Ok(Reloaded { sets: count, needs_restart })
    }
}
