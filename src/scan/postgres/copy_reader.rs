//! Reads rows of a server as batches, all from one snapshot.

use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, StringViewBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use deadpool_postgres::{Object, Pool};
use futures::{StreamExt, stream};
use tokio::sync::Mutex;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::{FromSql, Type};

use crate::error::{Error, Result};
use crate::scan::schema::KeyColumns;
use crate::store::{CallError, PgLocation, acquire_connection, quote_ident};

/// One column as the server describes it.
pub(crate) struct ServerColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) ty: Type,
}

/// A snapshot of a database that several connections read.
pub(crate) struct Snapshot {
    pool: Pool,
    location: PgLocation,
    /// The name that the server gave the snapshot, valid while `holder` keeps its transaction open.
    name: String,
    holder: Mutex<Object>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.location)
    }
}

/// Begins a read-only transaction that sees one moment.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Snapshot {
    /// Takes a snapshot of the present moment.
    pub(crate) async fn export_snapshot(
        pool: &Pool,
        location: &PgLocation,
    ) -> Result<Self, CallError> {
        let holder = acquire_connection(pool, location).await?;
        let fault = |error| location.to_call_error("taking a snapshot", &error);
        holder.batch_execute(BEGIN).await.map_err(fault)?;
        let row = holder.query_one("SELECT pg_export_snapshot()", &[]).await.map_err(fault)?;
        let (pool, location) = (pool.clone(), location.clone());
        Ok(Self { pool, location, name: row.get(0), holder: Mutex::new(holder) })
    }

    /// Returns the columns of the relation behind FROM.
    pub(crate) async fn describe_relation(
        &self,
        relation: &str,
    ) -> Result<Vec<ServerColumn>, CallError> {
        let holder = self.holder.lock().await;
        let sql = format!("SELECT * FROM {relation} LIMIT 0");
        let statement = holder.prepare(&sql).await;
        let statement = statement
            .map_err(|error| self.location.to_call_error("looking at the columns", &error))?;
        let column = |column: &tokio_postgres::Column| ServerColumn {
            name: column.name().to_string(),
            ty: column.type_().clone(),
        };
        Ok(statement.columns().iter().map(column).collect())
    }

    /// Returns the one row that a source's `revision` query gives, as text.
    pub(crate) async fn query_revision(&self, query: &str) -> Result<String, CallError> {
        let holder = self.holder.lock().await;
        // The last line of the query may end with a comment, so the bracket stands on its own line.
        let query = query.trim().trim_end_matches(';');
        let sql = format!("SELECT revision::text FROM ({query}\n) AS revision");
        let rows = holder.query(&sql, &[]).await;
        let rows =
            rows.map_err(|error| self.location.to_call_error("asking for the revision", &error))?;
        match rows.as_slice() {
            [row] => Ok(row.get::<_, Option<String>>(0).unwrap_or_default()),
            rows => {
                let location = &self.location;
                let text = format!("{location}: revision gives {} rows, not one", rows.len());
                let hint = "write such as `SELECT max(updated_at), count(*) FROM ...`";
                Err(CallError::from(Error::data(text).hint(hint)))
            }
        }
    }

    /// Returns the symbols, sorted byte by byte, and the type of their column.
    pub(crate) async fn query_symbols(
        &self,
        relation: &str,
        keys: &KeyColumns,
    ) -> Result<(Vec<String>, String), CallError> {
        let holder = self.holder.lock().await;
        let fault = |error| self.location.to_call_error("asking for the symbols", &error);
        let entity = quote_ident(&keys.entity);
        let sql = format!(
            "SELECT pg_typeof(x.{entity})::text \
             FROM (SELECT 1) one LEFT JOIN (SELECT {entity} FROM {relation} LIMIT 1) x ON true"
        );
        let ty: String = holder.query_one(&sql, &[]).await.map_err(fault)?.get(0);
        // As the name of a type, `character` means a single letter.
        let ty = if ty == "character" { "bpchar".to_string() } else { ty };
        let sql = match self
            .has_leading_index(&holder, relation, &keys.entity)
            .await
            .map_err(fault)?
        {
            // Steps from one symbol to the next in the index instead of reading all rows.
            true => format!(
                "WITH RECURSIVE found AS (SELECT min({entity}) AS symbol FROM {relation} UNION ALL \
                 SELECT (SELECT min({entity}) FROM {relation} WHERE {entity} > found.symbol) \
                 FROM found WHERE found.symbol IS NOT NULL) \
                 SELECT symbol::text COLLATE \"C\" FROM found WHERE symbol IS NOT NULL ORDER BY 1"
            ),
            false => format!(
                "SELECT DISTINCT {entity}::text COLLATE \"C\" FROM {relation} \
                 WHERE {entity} IS NOT NULL ORDER BY 1"
            ),
        };
        let rows = holder.query(&sql, &[]).await.map_err(fault)?;
        Ok((rows.iter().map(|row| row.get(0)).collect(), ty))
    }

    /// Returns whether an index of a table begins with a column of a type that `min` supports.
    async fn has_leading_index(
        &self,
        holder: &Object,
        relation: &str,
        column: &str,
    ) -> Result<bool, tokio_postgres::Error> {
        if relation.starts_with('(') {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
                   JOIN pg_am m ON m.amname = 'btree' JOIN pg_class c ON c.oid = i.indexrelid AND c.relam = m.oid \
                   WHERE i.indrelid = to_regclass($1) AND i.indpred IS NULL AND i.indisvalid AND a.attname = $2 \
                   AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'int4'::regtype, 'int8'::regtype) \
                   AND NOT EXISTS (SELECT 1 FROM pg_collation o WHERE o.oid = a.attcollation AND NOT o.collisdeterministic) LIMIT 1";
        Ok(holder.query_opt(sql, &[&relation, &column]).await?.is_some())
    }

    /// Returns the SQL that orders rows of one key: empty if a unique index excludes duplicates or
    /// the rows have no position, else their position.
    pub(crate) async fn tie_breaker(
        &self,
        relation: &str,
        keys: &KeyColumns,
    ) -> Result<&'static str, CallError> {
        if relation.starts_with('(') {
            return Ok("");
        }
        let holder = self.holder.lock().await;
        let fault = |error| self.location.to_call_error("looking at the keys", &error);
        let sql = "SELECT relkind::text, EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique \
                   AND i.indpred IS NULL AND i.indisvalid AND i.indnkeyatts = 2 AND \
                   (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid \
                   AND a.attnum = ANY(i.indkey) AND a.attname IN ($2, $3)) = 2) \
                   FROM pg_class c WHERE c.oid = to_regclass($1)";
        let row =
            holder.query_opt(sql, &[&relation, &keys.entity, &keys.time]).await.map_err(fault)?;
        Ok(match row.map(|row| (row.get::<_, String>(0), row.get::<_, bool>(1))) {
            Some((_, true)) | None => "",
            Some((kind, _)) if kind == "r" || kind == "m" => ", ctid",
            Some((kind, _)) if kind == "p" => ", tableoid, ctid",
            Some(_) => "", // The rows of a view have no position.
        })
    }

    /// Returns a connection that sees this snapshot.
    async fn connect_at_snapshot(&self) -> Result<Object, CallError> {
        let client = acquire_connection(&self.pool, &self.location).await?;
        let sql = format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{}'", self.name);
        let set = client.batch_execute(&sql).await;
        set.map_err(|error| self.location.to_call_error("looking at the snapshot", &error))?;
        Ok(client)
    }
}

/// One partition of a scan.
#[derive(Debug)]
pub(crate) struct PostgresPartition {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) statement: String,
    /// The types that the server sends.
    pub(crate) types: Vec<Type>,
    /// The columns, followed by the ordinal.
    pub(crate) schema: SchemaRef,
    pub(crate) ordinal: u32,
}

impl PartitionStream for PostgresPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = context.session_config().batch_size();
        let rest = CopyCursor {
            snapshot: Arc::clone(&self.snapshot),
            statement: self.statement.clone(),
            types: self.types.clone(),
            schema: Arc::clone(&self.schema),
            ordinal: self.ordinal,
            rows,
            open: None,
        };
        let batches = stream::try_unfold(rest, |mut rest| async {
            match rest.next_copy_batch().await {
                Ok(batch) => Ok(batch.map(|batch| (batch, rest))),
                Err(error) => Err(DataFusionError::External(Box::new(error))),
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// The progress of reading one partition.
struct CopyCursor {
    snapshot: Arc<Snapshot>,
    statement: String,
    types: Vec<Type>,
    schema: SchemaRef,
    ordinal: u32,
    rows: usize,
    open: Option<OpenCopy>,
}

struct OpenCopy {
    rows: Pin<Box<BinaryCopyOutStream>>,
    ended: bool,
    /// None once all rows are read and the connection is back in the pool.
    client: Option<Object>,
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        // A connection in the middle of a COPY cannot be reused, so it leaves the pool.
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl CopyCursor {
    async fn next_copy_batch(&mut self) -> Result<Option<RecordBatch>> {
        // A transient fault makes the run start again with another snapshot: rows of this one have
        // already been passed on.
        let lost = |fault: CallError| match fault.transient {
            true => fault.error.as_transient(),
            false => fault.error,
        };
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let client = self.snapshot.connect_at_snapshot().await.map_err(lost)?;
                let rows = client.copy_out(&self.statement).await;
                let rows = rows.map_err(|error| {
                    lost(self.snapshot.location.to_call_error("reading", &error))
                })?;
                let rows = Box::pin(BinaryCopyOutStream::new(rows, &self.types));
                none.insert(OpenCopy { rows, ended: false, client: Some(client) })
            }
        };
        if open.ended {
            return Ok(None);
        }
        let mut columns: Vec<ColumnBuilder> =
            self.types.iter().map(|ty| ColumnBuilder::new(ty, self.rows)).collect();
        let mut count = 0;
        while count < self.rows {
            let Some(row) = open.rows.next().await else {
                // If ROLLBACK fails, the connection is dropped, and its transaction ends with it.
                if let Some(client) = &open.client
                    && client.batch_execute("ROLLBACK").await.is_ok()
                {
                    open.client = None;
                }
                open.ended = true;
                break;
            };
            let wrong = |error| lost(self.snapshot.location.to_call_error("reading", &error));
            let row = row.map_err(wrong)?;
            for (index, column) in columns.iter_mut().enumerate() {
                column.append_from_row(&row, index).map_err(wrong)?;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let internal =
            |error: datafusion::arrow::error::ArrowError| Error::from_arrow_error(&error);
        let mut arrays: Vec<ArrayRef> = columns.into_iter().map(ColumnBuilder::finish).collect();
        arrays.push(Arc::new(UInt32Array::from_value(self.ordinal, count)));
        for (array, field) in arrays.iter_mut().zip(self.schema.fields()) {
            *array =
                datafusion::arrow::compute::cast(array, field.data_type()).map_err(internal)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map(Some)
            .map_err(internal)
    }
}

/// Microseconds or days since 1970, converted from those since 2000.
struct Ticks(i64);

impl<'a> FromSql<'a> for Ticks {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let days = |days: i32| (![i32::MIN, i32::MAX].contains(&days)).then_some(i64::from(days));
        let since = match *ty {
            Type::DATE => days(i32::from_sql(&Type::INT4, raw)?).map(|days| days + 10_957),
            Type::TIME => Some(i64::from_sql(&Type::INT8, raw)?),
            _ => Some(i64::from_sql(&Type::INT8, raw)?)
                .filter(|micros| *micros != i64::MIN)
                .and_then(|micros| micros.checked_add(946_684_800_000_000)),
        };
        since.map(Self).ok_or_else(|| "a time is infinite".into())
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::DATE | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ)
    }
}

/// The builder of the values of one column.
enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
    Text(StringViewBuilder),
}

impl ColumnBuilder {
    fn new(ty: &Type, rows: usize) -> Self {
        match *ty {
            Type::BOOL => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            Type::INT2 => Self::Int16(Int16Builder::with_capacity(rows)),
            Type::INT4 => Self::Int32(Int32Builder::with_capacity(rows)),
            Type::INT8 => Self::Int64(Int64Builder::with_capacity(rows)),
            Type::FLOAT4 => Self::Float32(Float32Builder::with_capacity(rows)),
            Type::FLOAT8 => Self::Float64(Float64Builder::with_capacity(rows)),
            Type::DATE => Self::Date(Date32Builder::with_capacity(rows)),
            Type::TIME => Self::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            Type::TIMESTAMP => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            Type::TIMESTAMPTZ => Self::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
            ),
            Type::BYTEA => Self::Bytes(BinaryBuilder::new()),
            _ => Self::Text(StringViewBuilder::with_capacity(rows)),
        }
    }

    fn append_from_row(
        &mut self,
        row: &BinaryCopyOutRow,
        index: usize,
    ) -> Result<(), tokio_postgres::Error> {
        let ticks =
            || Ok::<_, tokio_postgres::Error>(row.try_get::<Option<Ticks>>(index)?.map(|t| t.0));
        match self {
            Self::Boolean(values) => values.append_option(row.try_get(index)?),
            Self::Int16(values) => values.append_option(row.try_get(index)?),
            Self::Int32(values) => values.append_option(row.try_get(index)?),
            Self::Int64(values) => values.append_option(row.try_get(index)?),
            Self::Float32(values) => values.append_option(row.try_get(index)?),
            Self::Float64(values) => values.append_option(row.try_get(index)?),
            Self::Date(values) => {
                values.append_option(ticks()?.and_then(|t| i32::try_from(t).ok()))
            }
            Self::Time(values) => values.append_option(ticks()?),
            Self::Timestamp(values) => values.append_option(ticks()?),
            Self::Bytes(values) => values.append_option(row.try_get::<Option<&[u8]>>(index)?),
            Self::Text(values) => values.append_option(row.try_get::<Option<&str>>(index)?),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut values) => Arc::new(values.finish()),
            Self::Int16(mut values) => Arc::new(values.finish()),
            Self::Int32(mut values) => Arc::new(values.finish()),
            Self::Int64(mut values) => Arc::new(values.finish()),
            Self::Float32(mut values) => Arc::new(values.finish()),
            Self::Float64(mut values) => Arc::new(values.finish()),
            Self::Date(mut values) => Arc::new(values.finish()),
            Self::Time(mut values) => Arc::new(values.finish()),
            Self::Timestamp(mut values) => Arc::new(values.finish()),
            Self::Bytes(mut values) => Arc::new(values.finish()),
            Self::Text(mut values) => Arc::new(values.finish()),
        }
    }
}
