//! Rows in the answer: which of them, and as JSON, CSV or an Arrow stream.

use std::sync::Arc;

use arrow_ipc::writer::StreamWriter;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::csv::WriterBuilder as CsvBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder as JsonBuilder;
use datafusion::arrow::json::writer::JsonArray;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::cache::CachedRows;
use crate::engine::{PlannedSet, Scope, TimeRange};
use crate::error::{Error, Result as OwnResult, did_you_mean};

/// The format of times in JSON and CSV: RFC 3339 in UTC.
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Csv,
    Arrow,
}

impl Media {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Arrow];

    /// Returns its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Returns the ETag of rows in this form.
    pub(super) fn tag(self, identity: &str) -> String {
        match self {
            Self::Json => format!("\"{identity}\""),
            Self::Csv => format!("\"{identity}-csv\""),
            Self::Arrow => format!("\"{identity}-arrow\""),
        }
    }

    /// Chooses the media type that a caller prefers; JSON if it does not say.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Self::Json) };
        let accept = accept.to_str().unwrap_or("*/*");
        let mut best: Option<(f32, Self)> = None;
        for part in accept.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let range = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let quality = pieces.find_map(|piece| piece.strip_prefix("q=")?.parse().ok());
            let quality: f32 = quality.unwrap_or(1.0);
            let fits = |media: &&Self| {
                let kind = media.name().split('/').next().unwrap_or_default();
                range == "*/*" || range == media.name() || range == format!("{kind}/*")
            };
            if let Some(media) = Self::ALL.iter().find(fits)
                && quality > 0.0
                && best.is_none_or(|(known, _)| quality > known)
            {
                best = Some((quality, *media));
            }
        }
        best.map(|(_, media)| media).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let error = Error::usage(format!("Accept is {accept}, expected one of {names}"));
            Problem::new(StatusCode::NOT_ACCEPTABLE, &error)
        })
    }
}

/// The answer in JSON.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // For /openapi.json; the answer is written row by row.
pub(super) struct RowsAnswer {
    set: String,
    /// Absent in an answer with many symbols, whose rows have theirs.
    symbol: Option<String>,
    /// Equal for equal rows.
    identity: String,
    #[schema(value_type = Vec<Object>)]
    rows: Vec<serde_json::Value>,
}

/// The chosen rows and columns.
#[derive(Clone, Debug)]
pub(super) struct RowChoice {
    /// The indexes of the columns, in the order of the answer.
    pub(super) columns: Vec<usize>,
    time: usize,
    range: TimeRange,
    limit: usize,
    /// True if rows carry their symbol.
    pub(super) with_symbol: bool,
    pub(super) entity: usize,
}

impl RowChoice {
    /// Checks a choice against a set.
    pub(super) fn check(
        planned: &PlannedSet,
        scope: &Scope,
        columns: Option<String>,
        limit: Option<usize>,
        media: &Media,
    ) -> Result<Self, Problem> {
        let [entity, time] = planned.key_columns()?;
        let range = planned.time_range(scope)?;
        let names = || planned.outputs.iter().map(|output| output.name.as_str());
        let mut chosen = vec![time];
        let mut with_symbol = false;
        match columns {
            None => {
                chosen.extend((0..planned.outputs.len()).filter(|at| ![time, entity].contains(at)))
            }
            Some(list) => {
                for name in list.split(',').map(str::trim) {
                    let Some(at) = names().position(|known| known == name) else {
                        let hint = did_you_mean(name, "outputs", names());
                        let error = format!("columns: {} has no output {name}", planned.set.name);
                        return Err(Problem::bad_request(error, hint));
                    };
                    with_symbol |= at == entity;
                    if at != entity && !chosen.contains(&at) {
                        chosen.push(at);
                    }
                }
            }
        }
        if *media == Media::Csv
            && let Some(nested) = chosen
                .iter()
                .filter_map(|at| planned.outputs.get(*at))
                .find(|output| output.data_type.is_nested())
        {
            let error = Error::usage(format!(
                "{} is {}, which CSV cannot hold",
                nested.name, nested.data_type
            ));
            return Err(Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                &error.hint("ask for JSON or Arrow"),
            ));
        }
        let limit = limit.unwrap_or(usize::MAX);
        Ok(Self { columns: chosen, time, range, limit, with_symbol, entity })
    }

    /// Returns the chosen rows of a symbol.
    pub(super) fn choose(&self, rows: &CachedRows) -> OwnResult<RecordBatch> {
        let batch = self.range.select_rows(&rows.batch, self.time)?;
        let batch = batch.slice(0, batch.num_rows().min(self.limit));
        let mut columns = self.columns.clone();
        if self.with_symbol {
            columns.insert(0, self.entity);
        }
        batch.project(&columns).map_err(|error| Error::from_arrow_error(&error))
    }
}

/// Encodes the chosen rows of one symbol.
pub(super) fn encode_rows(
    planned: &PlannedSet,
    rows: &CachedRows,
    choice: &RowChoice,
    media: &Media,
) -> OwnResult<Bytes> {
    let batch = choice.choose(rows)?;
    let wrong = |error: ArrowError| Error::from_arrow_error(&error);
    let mut out = Vec::with_capacity(batch.num_rows() * batch.num_columns() * 20 + 256);
    match media {
        Media::Json => {
            let head = json_head(&planned.set.name, Some(&rows.symbol), &rows.identity);
            out.extend_from_slice(head.as_bytes());
            write_json(&mut out, &batch).map_err(wrong)?;
            out.push(b'}');
        }
        Media::Csv => write_csv(&mut out, &batch, true).map_err(wrong)?,
        Media::Arrow => {
            let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).map_err(wrong)?;
            writer.write(&batch).and_then(|()| writer.finish()).map_err(wrong)?;
        }
    }
    Ok(out.into())
}

/// Returns the beginning of an answer in JSON, up to the rows.
pub(super) fn json_head(set: &str, symbol: Option<&str>, identity: &str) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let symbol = symbol.map(|symbol| format!(",\"symbol\":{}", text(symbol))).unwrap_or_default();
    format!("{{\"set\":{}{symbol},\"identity\":{},\"rows\":", text(set), text(identity))
}

pub(super) fn write_json(out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
    let batch = in_utc(batch)?;
    let builder = JsonBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIME_FORMAT.to_string())
        .with_timestamp_tz_format(TIME_FORMAT.to_string());
    let mut writer = builder.build::<_, JsonArray>(&mut *out);
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    if batch.num_rows() == 0 && !out.ends_with(b"]") {
        out.extend_from_slice(b"[]");
    }
    Ok(())
}

pub(super) fn write_csv(
    out: &mut Vec<u8>,
    batch: &RecordBatch,
    header: bool,
) -> Result<(), ArrowError> {
    let batch = in_utc(batch)?;
    let builder = CsvBuilder::new()
        .with_header(header)
        .with_timestamp_format(TIME_FORMAT.to_string())
        .with_timestamp_tz_format(TIME_FORMAT.to_string());
    builder.build(out).write(&batch)
}

/// Returns the batch with all times in UTC.
fn in_utc(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let zoned =
        |ty: &DataType| matches!(ty, DataType::Timestamp(_, Some(zone)) if &**zone != "UTC");
    if !batch.schema().fields().iter().any(|field| zoned(field.data_type())) {
        return Ok(batch.clone());
    }
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let ty = match field.data_type() {
            DataType::Timestamp(unit, Some(_)) => utc_type(*unit),
            other => other.clone(),
        };
        columns.push(datafusion::arrow::compute::cast(column, &ty)?);
        fields.push(Field::new(field.name(), ty, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn utc_type(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

/// Adds the headers of an answer with rows.
pub(super) fn answer_with(mut response: Response, identity: &str, media: &Media) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.name()));
    if let Ok(tag) = HeaderValue::from_str(&media.tag(identity)) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization"));
    response
}
