//! `GET /features/{set}`: the rows of many symbols as one stream.

use std::sync::Arc;

use arrow_ipc::writer::StreamWriter;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use futures::{StreamExt, stream};
use metrics::counter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Caller;
use super::compute::unknown_symbol_error;
use super::features::{Asked, FeatureQuery, has_tag};
use super::parts::{Choice, Segments};
use super::pending::{Pending, pending_answer};
use super::problem::{Problem, ProblemReport};
use super::rows::{Media, answer_with, json_head, write_csv, write_json};
use super::state::Service;
use crate::error::{Error, Result as OwnResult};
use crate::worker::name;

/// The choice of rows of many symbols.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ManyQuery {
    /// Symbols, separated by commas; all if not given.
    symbols: Option<String>,
    /// The first time, inclusive.
    from: Option<String>,
    /// The end of the times, exclusive.
    until: Option<String>,
    /// Outputs, separated by commas.
    columns: Option<String>,
    /// The number of rows of each symbol at most: the first ones.
    limit: Option<usize>,
    /// The seconds to wait for a computation, up to 60.
    wait: Option<f64>,
}

#[utoipa::path(
    get, path = "/features/{set}", tag = "features",
    params(
        ("set" = String, Path), ManyQuery,
        ("Accept" = Option<String>, Header, description = "application/json, text/csv or application/vnd.apache.arrow.stream"),
    ),
    responses(
        (status = 200, description = "The rows of all symbols, one symbol after the other.", content(
            (super::rows::RowsAnswer = "application/json"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 202, description = "Jobs compute what is missing.", body = Pending),
        (status = 304, description = "The caller has these rows."),
        (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport)
    )
)]
pub(super) async fn get_many_features(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Segments(set): Segments<String>,
    Choice(query): Choice<ManyQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let media = Media::from_headers(&headers)?;
    let ManyQuery { symbols, from, until, columns, limit, wait } = query;
    let one = FeatureQuery { from, until, columns, limit, wait };
    let mut asked = Asked::check(&service, &set, one, &media).await?;
    asked.choice.with_symbol = true;
    let known = service.symbols(&asked.view).await?;
    let chosen: Vec<String> = match symbols.filter(|symbols| !symbols.is_empty()) {
        None => known.keys().cloned().collect(),
        Some(list) => list.split(',').map(|symbol| symbol.trim().to_string()).collect(),
    };
    if let Some(unknown) = chosen.iter().find(|symbol| !known.contains_key(*symbol)) {
        let error = unknown_symbol_error(unknown, &set, known);
        return Err(Problem::new(StatusCode::NOT_FOUND, &error));
    }
    let tag = media.tag(&asked.view.identity);
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let until = tokio::time::Instant::now() + asked.wait;
    let mut missing = service.missing_symbols(&asked, &chosen).await?;
    let hits = chosen.len() - missing.len();
    counter!(name::CACHE_HITS, "set" => set.clone()).increment(hits as u64);
    counter!(name::CACHE_MISSES, "set" => set.clone()).increment(missing.len() as u64);
    while let Some(first) = missing.first() {
        service.find_started(&asked, first).await?;
        let mut pending = service.start_jobs(&asked, &missing, &caller).await?;
        for symbol in &missing {
            asked.wait = until.saturating_duration_since(tokio::time::Instant::now());
            if service.wait_for_rows(&mut asked, symbol, &mut pending, &caller).await?.is_none() {
                return Ok(pending_answer(pending, "groups"));
            }
        }
        // The inputs may have changed meanwhile: all rows of one answer have one identity.
        missing = service.missing_symbols(&asked, &chosen).await?;
    }
    stream_rows(service, asked, chosen, media)
}

impl Service {
    /// Returns the symbols whose rows are not there.
    async fn missing_symbols<'s>(
        &self,
        asked: &Asked,
        symbols: &'s [String],
    ) -> OwnResult<Vec<&'s str>> {
        let mut missing = Vec::new();
        for symbol in symbols {
            if self.find_rows(asked, symbol).await?.is_none() {
                missing.push(symbol.as_str());
            }
        }
        Ok(missing)
    }
}

/// Streams the rows of many symbols, one symbol after the other. All of them are there; one that left the cache
/// meanwhile ends the stream with an error, never silently.
fn stream_rows(
    service: Arc<Service>,
    asked: Asked,
    symbols: Vec<String>,
    media: Media,
) -> Result<Response, Problem> {
    let identity = asked.view.identity.clone();
    let schema = chosen_schema(&asked)?;
    let head = match media {
        Media::Json => {
            format!("{}[", json_head(&asked.view.planned.set.name, None, &identity)).into_bytes()
        }
        Media::Csv => {
            let mut out = Vec::new();
            let empty = RecordBatch::new_empty(Arc::clone(&schema));
            write_csv(&mut out, &empty, true).map_err(|error| Error::from_arrow_error(&error))?;
            out
        }
        Media::Arrow => Vec::new(),
    };
    let writer = match media {
        Media::Arrow => Some(
            StreamWriter::try_new(Vec::new(), &schema)
                .map_err(|error| Error::from_arrow_error(&error))?,
        ),
        _ => None,
    };
    let state = ManySymbols {
        service,
        asked,
        symbols: symbols.into_iter(),
        media,
        schema,
        writer,
        any: false,
    };
    let rows = stream::try_unfold(Some(state), |state| async move {
        let Some(mut state) = state else { return Ok(None) };
        match state.next_chunk().await? {
            Some(chunk) => Ok(Some((chunk, Some(state)))),
            None => Ok(Some((state.last_chunk()?, None))),
        }
    });
    let head = stream::once(async move { Ok::<_, Error>(Bytes::from(head)) });
    let body = Body::from_stream(head.chain(rows));
    Ok(answer_with(body.into_response(), &identity, &media))
}

fn chosen_schema(asked: &Asked) -> OwnResult<SchemaRef> {
    let outputs = asked.view.planned.outputs.iter();
    let fields: Vec<Field> =
        outputs.map(|output| Field::new(&output.name, output.data_type.clone(), true)).collect();
    let schema = Schema::new(fields);
    let mut columns = asked.choice.columns.clone();
    columns.insert(0, asked.choice.entity);
    let schema = schema.project(&columns).map_err(|error| Error::from_arrow_error(&error))?;
    Ok(Arc::new(schema))
}

/// The rest of an answer with many symbols.
struct ManySymbols {
    service: Arc<Service>,
    asked: Asked,
    symbols: std::vec::IntoIter<String>,
    media: Media,
    schema: SchemaRef,
    writer: Option<StreamWriter<Vec<u8>>>,
    /// True once a row was written.
    any: bool,
}

impl ManySymbols {
    async fn next_chunk(&mut self) -> OwnResult<Option<Bytes>> {
        let Some(symbol) = self.symbols.next() else { return Ok(None) };
        let rows = self.service.find_rows(&self.asked, &symbol).await?.ok_or_else(|| {
            Error::data(format!("the rows of {symbol} left the cache while they were sent"))
                .hint("raise serve.cache_bytes, or ask for fewer symbols")
        })?;
        let batch = self.asked.choice.choose(&rows)?;
        let wrong = |error: ArrowError| Error::from_arrow_error(&error);
        let mut out = Vec::new();
        match &mut self.writer {
            Some(writer) => {
                let columns = batch.columns().to_vec();
                let batch =
                    RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(wrong)?;
                writer.write(&batch).map_err(wrong)?;
                out = std::mem::take(writer.get_mut());
            }
            None if self.media == Media::Csv => {
                write_csv(&mut out, &batch, false).map_err(wrong)?
            }
            None if batch.num_rows() > 0 => {
                write_json(&mut out, &batch).map_err(wrong)?;
                // The rows of all symbols are one list.
                out.pop();
                match out.first_mut() {
                    Some(first) if self.any => *first = b',',
                    _ => {
                        out.remove(0);
                    }
                }
                self.any = true;
            }
            None => {}
        }
        Ok(Some(out.into()))
    }

    fn last_chunk(&mut self) -> OwnResult<Bytes> {
        match &mut self.writer {
            Some(writer) => {
                writer.finish().map_err(|error| Error::from_arrow_error(&error))?;
                Ok(std::mem::take(writer.get_mut()).into())
            }
            None if self.media == Media::Json => Ok(Bytes::from_static(b"]}")),
            None => Ok(Bytes::new()),
        }
    }
}
