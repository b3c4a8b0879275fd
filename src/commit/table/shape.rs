//! The columns and key that a table needs for the rows of a run, and the statements that bring it
//! there.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;

use super::{PartitionSpan, TableUrl};
use crate::error::{Error, Result};
use crate::store::{TableName, TimePoint, quote_ident};
use crate::write::{CopyEncoding, OutputShape, TableLayout};

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub(super) name: String,
    /// The SQL type, as `format_type` writes it.
    pub(super) ty: String,
}

impl TableColumn {
    fn new(name: &str, ty: impl Into<String>) -> Self {
        Self { name: name.to_string(), ty: ty.into() }
    }

    fn sql_definition(&self) -> String {
        format!("{} {}", quote_ident(&self.name), self.ty)
    }
}

/// The table that the rows of a run require.
pub(super) struct TableShape {
    pub(super) table: TableName,
    /// The location as messages show it.
    pub(super) shown: String,
    pub(super) columns: Vec<TableColumn>,
    /// Columns of the primary key.
    pub(super) key: Vec<String>,
    pub(super) entity: String,
    pub(super) time: String,
    pub(super) partition: Option<PartitionSpan>,
    comments: Vec<(Option<String>, String)>,
}

impl TableShape {
    /// Returns the table for an output, and the encoding that turns its batches into rows.
    pub(super) fn from_output(
        target: &TableUrl,
        output: &OutputShape,
    ) -> Result<(Self, CopyEncoding)> {
        let schema = &output.schema;
        let (entity, time) = (schema.field(output.entity).name(), schema.field(output.time).name());
        let mut columns = Vec::new();
        for field in schema.fields() {
            let ty = pg_type(field.data_type()).ok_or_else(|| {
                Error::target(format!(
                    "{}: output {} is {}, for which a table has no type",
                    target.location,
                    field.name(),
                    field.data_type()
                ))
                .hint("cast it to a number, text or a time in the set")
            })?;
            if field.name().len() > 63 {
                return Err(Error::target(format!(
                    "{}: output {} is longer than the 63 bytes of a column's name",
                    target.location,
                    field.name()
                ))
                .hint("give it a shorter name in the set"));
            }
            columns.push(TableColumn::new(field.name(), ty));
        }
        let mut key = vec![entity.clone(), time.clone()];
        let encoding =
            CopyEncoding::new(target.layout, Arc::clone(schema), output.entity, output.time)
                .map_err(|why| Error::target(format!("{}: {why}", target.location)))?;
        let noted = |name: &str| {
            let pairs = output.notes.iter().find(|(column, _)| column == name);
            let pairs = pairs.map(|(_, pairs)| pairs.as_slice()).unwrap_or_default();
            let text = pairs.iter().map(|(key, value)| match key.as_str() {
                "description" => value.clone(),
                _ => format!("{key}: {value}"),
            });
            text.collect::<Vec<_>>().join("; ")
        };
        let about = match &output.about {
            Some(about) => format!("{about} (windrow, feature set {})", output.set),
            None => format!("windrow, feature set {}", output.set),
        };
        let mut comments = vec![(None, about)];
        if target.layout == TableLayout::Long {
            columns = vec![
                columns[output.entity].clone(),
                columns[output.time].clone(),
                TableColumn::new("feature", "text"),
                TableColumn::new("value", "double precision"),
            ];
            key.push("feature".to_string());
        } else {
            let named =
                columns.iter().map(|column| (Some(column.name.clone()), noted(&column.name)));
            comments.extend(named.filter(|(_, text)| !text.is_empty()));
        }
        let shape = Self {
            table: target.table.clone(),
            shown: target.location.to_string(),
            columns,
            key,
            entity: entity.clone(),
            time: time.clone(),
            partition: target.partition,
            comments,
        };
        Ok((shape, encoding))
    }

    /// Returns the columns' names as a list in SQL.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|c| quote_ident(&c.name)).collect::<Vec<_>>().join(", ")
    }

    /// Creates the staging table. If it is to become the target it must survive a crash of the server,
    /// so it is logged.
    pub(super) fn create_stage_sql(&self, stage: &TableName, changes: &TableChanges) -> String {
        let columns: Vec<String> = self.columns.iter().map(TableColumn::sql_definition).collect();
        let columns = columns.join(", ");
        match changes.becomes {
            true => format!("CREATE TABLE {stage} ({columns})"),
            // No query uses its statistics, and it is dropped before a vacuum could help.
            false => format!(
                "CREATE UNLOGGED TABLE {stage} ({columns}) WITH (autovacuum_enabled = false)"
            ),
        }
    }

    /// Renames the staging table to the target.
    pub(super) fn rename_stage_sql(&self, stage: &TableName) -> String {
        format!("ALTER TABLE {stage} RENAME TO {}", quote_ident(&self.table.table))
    }

    /// Creates a partitioned table without its key, which is added once the rows are in.
    fn create_table_sql(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(TableColumn::sql_definition).collect();
        let (columns, time) = (columns.join(", "), quote_ident(&self.time));
        format!("CREATE TABLE {} ({columns}) PARTITION BY RANGE ({time})", self.table)
    }

    fn add_key_sql(&self) -> String {
        let key: Vec<String> = self.key.iter().map(|name| quote_ident(name)).collect();
        format!("ALTER TABLE {} ADD PRIMARY KEY ({})", self.table, key.join(", "))
    }

    /// Returns the documentation of the set as comments of the table and its columns.
    pub(super) fn comments_sql(&self) -> Vec<String> {
        let statement = |(column, text): &(Option<String>, String)| {
            let text = text.replace('\'', "''").replace('\0', "");
            match column {
                None => format!("COMMENT ON TABLE {} IS '{text}'", self.table),
                Some(column) => {
                    format!("COMMENT ON COLUMN {}.{} IS '{text}'", self.table, quote_ident(column))
                }
            }
        };
        self.comments.iter().map(statement).collect()
    }

    /// Returns the changes that turn a table with the columns of `held` into this one; None if the
    /// table does not exist.
    pub(super) fn required_changes(&self, held: Option<&ExistingTable>) -> Result<TableChanges> {
        let Some(held) = held else {
            let becomes = self.partition.is_none();
            let before = if becomes { Vec::new() } else { vec![self.create_table_sql()] };
            let after = vec![self.add_key_sql()];
            return Ok(TableChanges { becomes, before, after, ..TableChanges::default() });
        };
        if self.partition.is_some() && !held.partitioned {
            return Err(Error::target(format!("{} exists and is not partitioned", self.shown))
                .hint("leave partition out, or name a new table"));
        }
        let long = ["feature", "value"];
        let has = |columns: &[TableColumn]| {
            long.iter().all(|name| columns.iter().any(|c| c.name == *name))
        };
        if has(&held.columns) != has(&self.columns) && held.columns.len() > 2 {
            let layout = if has(&held.columns) { "long" } else { "wide" };
            return Err(Error::target(format!(
                "{} exists and has the {layout} layout",
                self.shown
            ))
            .hint(format!("write to it with layout={layout}, or name a new table")));
        }
        let (mut changes, mut wrong) = (TableChanges::default(), Vec::new());
        for column in &self.columns {
            match held.columns.iter().find(|held| held.name == column.name) {
                None => {
                    changes.before.push(format!(
                        "ALTER TABLE {} ADD COLUMN {}",
                        self.table,
                        column.sql_definition()
                    ));
                    changes.added.push(column.name.clone());
                }
                Some(held) if type_accepts(&held.ty, &column.ty) => {}
                Some(held) => {
                    wrong.push(format!("{} is {}, not {}", column.name, held.ty, column.ty));
                }
            }
        }
        if !wrong.is_empty() {
            return Err(Error::target(format!(
                "{}: the table does not fit the set: {}",
                self.shown,
                wrong.join(", ")
            ))
            .hint("write to another table, or change these columns"));
        }
        let ours = |name: &String| self.columns.iter().any(|column| column.name == *name);
        changes.unknown =
            held.columns.iter().map(|c| c.name.clone()).filter(|name| !ours(name)).collect();
        Ok(changes)
    }

    /// Returns the statements for the partitions that rows between two times need. Partitions by a time
    /// with a zone begin at midnight in UTC, whatever the zone of the session.
    pub(super) fn partitions_sql(&self, first: TimePoint, last: TimePoint) -> Result<Vec<String>> {
        use chrono::{Datelike, Days, Months};
        let Some(unit) = self.partition else { return Ok(Vec::new()) };
        let zoned = |column: &TableColumn| {
            column.name == self.time && column.ty == "timestamp with time zone"
        };
        let midnight = if self.columns.iter().any(zoned) { " 00:00:00+00" } else { "" };
        let (first, last) = (first.calendar_day(), last.calendar_day());
        let begin = match unit {
            PartitionSpan::Year => first.with_ordinal(1),
            PartitionSpan::Month => first.with_day(1),
            PartitionSpan::Day => Some(first),
        };
        let mut at = begin.unwrap_or(first);
        let mut made = Vec::new();
        while at <= last {
            let next = match unit {
                PartitionSpan::Year => at.checked_add_months(Months::new(12)),
                PartitionSpan::Month => at.checked_add_months(Months::new(1)),
                PartitionSpan::Day => at.checked_add_days(Days::new(1)),
            };
            let Some(next) = next else { break };
            let name = match unit {
                PartitionSpan::Year => at.format("y%Y"),
                PartitionSpan::Month => at.format("y%Ym%m"),
                PartitionSpan::Day => at.format("y%Ym%md%d"),
            };
            let mut table = self.table.table.clone();
            while table.len() > 50 {
                table.pop();
            }
            let name = self.table.sibling_table(format!("{table}_{name}"));
            made.push(format!(
                "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {} FOR VALUES FROM ('{at}{midnight}') TO ('{next}{midnight}')",
                self.table
            ));
            if made.len() > 2_000 {
                return Err(Error::target(format!(
                    "{}: rows from {first} to {last} need more than 2,000 partitions",
                    self.shown
                ))
                .hint("partition by a longer time: month or year"));
            }
            at = next;
        }
        Ok(made)
    }
}

/// A table that exists at the server.
#[derive(Debug, Default)]
pub(super) struct ExistingTable {
    pub(super) columns: Vec<TableColumn>,
    pub(super) partitioned: bool,
}

/// Statements that bring a table into shape.
#[derive(Debug, Default)]
pub(super) struct TableChanges {
    /// True if the target does not exist: the staging table is renamed to it, and no rows are moved.
    pub(super) becomes: bool,
    /// Statements to run before the rows are moved.
    pub(super) before: Vec<String>,
    /// Statements to run after the rows are moved.
    pub(super) after: Vec<String>,
    added: Vec<String>,
    /// Columns of the table that the run does not fill.
    unknown: Vec<String>,
}

impl TableChanges {
    /// Returns messages for the user about columns that were added and columns that stay unfilled.
    pub(super) fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if !self.added.is_empty() {
            notices.push(format!("the table has new columns: {}", self.added.join(", ")));
        }
        if !self.unknown.is_empty() {
            let names = self.unknown.join(", ");
            notices.push(format!(
                "the table has columns that the set does not have, which it does not fill in new rows: {names}"
            ));
        }
        notices
    }
}

/// Returns the type of a column for values of an Arrow type, as `format_type` writes it; None if there
/// is none.
pub(super) fn pg_type(ty: &DataType) -> Option<String> {
    Some(
        match ty {
            DataType::Boolean => "boolean",
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
            DataType::Int32 | DataType::UInt16 => "integer",
            DataType::Int64 | DataType::UInt32 => "bigint",
            DataType::UInt64 => "numeric(20,0)",
            DataType::Float16 | DataType::Float32 => "real",
            DataType::Float64 => "double precision",
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                return Some(format!("numeric({precision},{scale})"));
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
            DataType::Date32 => "date",
            DataType::Date64 | DataType::Timestamp(_, None) => "timestamp without time zone",
            DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
            DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
            DataType::Dictionary(_, values) => return pg_type(values),
            _ => return None,
        }
        .to_string(),
    )
}

/// Returns whether a column of type `held` stores every value of type `ours` unchanged.
fn type_accepts(held: &str, ours: &str) -> bool {
    let wider: &[&str] = match ours {
        "smallint" => &["integer", "bigint", "numeric", "double precision", "real"],
        "integer" => &["bigint", "numeric", "double precision"],
        "bigint" => &["numeric"],
        "real" => &["double precision"],
        "text" => &["character varying"],
        "numeric(20,0)" => &["numeric"],
        _ => &[],
    };
    held == ours || wider.contains(&held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_take_what_they_hold() {
        assert!(type_accepts("double precision", "real"));
        assert!(type_accepts("numeric", "bigint"));
        assert!(!type_accepts("real", "double precision"));
        assert!(!type_accepts("integer", "bigint"));
        assert!(!type_accepts("date", "timestamp without time zone"));
        assert!(!type_accepts("text", "double precision"));
    }

    #[test]
    fn types_of_arrow() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let cases = [
            (dictionary, Some("text")),
            (DataType::UInt32, Some("bigint")),
            (DataType::Decimal128(12, 4), Some("numeric(12,4)")),
            (DataType::Null, None),
        ];
        for (ty, expected) in cases {
            assert_eq!(pg_type(&ty).as_deref(), expected, "{ty}");
        }
    }
}
