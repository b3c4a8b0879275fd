//! `\plot`: draws columns of one symbol over time.

use super::complete::SessionNames;
use super::lexer::{Token, TokenKind, tokenize_sql};
use super::session::{Flow, ResultOrigin, Session};
use crate::engine::Query;
use crate::error::{Error, Result, did_you_mean};
use crate::limits::PLOT_ROWS;
use crate::render::{Axis, Chart, Series, from_io};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use std::sync::Arc;

/// The arguments of `\plot`.
#[derive(Debug, Default, PartialEq, Eq)]
struct PlotRequest {
    columns: Vec<String>,
    symbol: Option<String>,
    from: Option<String>,
}

const USAGE: &str = "\\plot takes columns, such as \\plot close, sma_20 of AAPL";

impl Session {
    /// Draws columns of the last result, or of another query.
    pub(super) async fn plot_columns(&mut self, args: &str) -> Result<Flow> {
        let request = parse_plot_request(args)?;
        let origin = match (&request.from, &self.last) {
            (Some(query), _) => ResultOrigin::Sql(expand_table_name(query, &self.names)),
            (None, Some(last)) => last.clone(),
            (None, None) => {
                return Err(Error::query("there is no result to draw yet")
                    .hint("run a SELECT first, or end with a table: from bars"));
            }
        };
        let query = self.rerun_query(&origin).await?;
        let plan = PlotPlan::new(&request, &query.schema())?;
        let query = Arc::new(self.narrow_query(query, &origin, &plan).await);
        let mut found = PlotPoints::new(&plan);
        let mut rows = self.runner.start_query(&query, self.interrupt.as_mut())?;
        while let Some(batch) = rows.next_batch().await? {
            found.add_batch(&plan, &batch)?;
        }
        drop(rows);
        self.draw_chart(&plan, found)?;
        Ok(Flow::Continue)
    }

    async fn rerun_query(&mut self, origin: &ResultOrigin) -> Result<Query> {
        let (engine, parameters) = (&self.engine, &self.parameters);
        let work = async move {
            match origin {
                ResultOrigin::Sql(text) => engine.query(text).await,
                ResultOrigin::File(path) => engine.query_file(path, parameters).await,
            }
        };
        match &mut self.interrupt {
            Some(interrupt) => interrupt.run_until_interrupted(work).await,
            None => work.await,
        }
    }

    /// Narrows the query to the rows and columns that are drawn, so that the engine reads one symbol instead
    /// of all. Returns the query unchanged if it cannot be a subquery.
    async fn narrow_query(
        &mut self,
        query: Query,
        origin: &ResultOrigin,
        plan: &PlotPlan,
    ) -> Query {
        let ResultOrigin::Sql(text) = origin else { return query };
        match self.engine.query(&plan.narrow_sql(text)).await {
            Ok(narrow) => narrow,
            Err(_) => query,
        }
    }

    fn draw_chart(&mut self, plan: &PlotPlan, found: PlotPoints) -> Result<()> {
        if found.count == 0 {
            return Err(match &plan.wanted_symbol {
                Some(symbol) => Error::query(format!("the result has no rows of {symbol}"))
                    .hint("symbols are written as in the data, upper and lower case included"),
                None => Error::query("the result has no rows to draw"),
            });
        }
        let symbol = plan.wanted_symbol.clone().or_else(|| found.symbol.clone());
        let others = plan.wanted_symbol.is_none() && found.skipped;
        let rows = if found.count == 1 { "row" } else { "rows" };
        let title = match &symbol {
            Some(symbol) => format!("{symbol}, {} {rows}", found.count),
            None => format!("{} {rows}", found.count),
        };
        let series = found.to_series(plan);
        let (width, height, color) = match self.terminal {
            Some(t) => (t.width.min(200), t.height.saturating_sub(2).clamp(12, 40), t.color),
            None => (100, 24, false),
        };
        let x = if plan.time.is_some() { Axis::Time } else { Axis::Number };
        let chart = Chart { title: &title, series: &series, x, width, height, color };
        self.out.write_all(chart.render_text().as_bytes()).map_err(from_io)?;
        if let (true, Some(symbol)) = (others, symbol) {
            self.print_note(&format!(
                "{symbol} is the first of several symbols; of SYMBOL draws another"
            ));
        }
        Ok(())
    }
}

/// Expands a table name to `SELECT * FROM` that table.
fn expand_table_name(text: &str, names: &SessionNames) -> String {
    let text = text.trim().trim_end_matches(';').trim_end();
    let name = text.trim_matches('"');
    let single = matches!(tokenize_sql(text).as_slice(), [token] if matches!(token.kind, TokenKind::Word | TokenKind::Name));
    if single || names.tables.contains_key(name) {
        return format!("SELECT * FROM {text}");
    }
    text.to_string()
}

/// Parses `close, sma_20 of AAPL from SELECT ...`; the word `of` is optional.
fn parse_plot_request(args: &str) -> Result<PlotRequest> {
    let all = tokenize_sql(args);
    let keyword = |word: &str, within: usize| {
        let mut found = all.iter().filter(|token| token.matches_keyword(word) && token.start > 0);
        found.find(|token| token.end() <= within).map(|token| (token.start, token.end()))
    };
    let from = keyword("from", args.len());
    let end = from.map_or(args.len(), |(start, _)| start);
    let of = keyword("of", end);
    let mut columns = split_at_commas(&all, args, of.map_or(end, |(start, _)| start));
    let mut symbol = of.map(|(_, from)| strip_quotes(args[from..end].trim()));
    if of.is_none()
        && let Some(last) = columns.last_mut()
        && let Some((column, rest)) = split_symbol(last)
    {
        (*last, symbol) = (column, Some(rest));
    }
    let columns: Vec<String> = columns.iter().map(|column| strip_quotes(column)).collect();
    if columns.iter().any(String::is_empty) || columns.is_empty() {
        return Err(Error::usage(USAGE));
    }
    if symbol.as_deref() == Some("") {
        return Err(Error::usage("\\plot ... of takes a symbol, such as of AAPL"));
    }
    let from = from.map(|(_, at)| args[at..].trim().to_string());
    if from.as_deref() == Some("") {
        return Err(Error::usage("\\plot ... from takes a table or a query, such as from bars"));
    }
    Ok(PlotRequest { columns, symbol, from })
}

/// Returns the parts between commas, up to `end`.
fn split_at_commas(all: &[Token], args: &str, end: usize) -> Vec<String> {
    let commas = all.iter().filter(|token| token.text == "," && token.start < end);
    let mut start = 0;
    let mut parts = Vec::new();
    for at in commas.map(|token| token.start).chain([end]) {
        parts.push(args[start..at].trim().to_string());
        start = (at + 1).min(end);
    }
    parts
}

/// Splits `sma_20 AAPL` into column and symbol.
fn split_symbol(text: &str) -> Option<(String, String)> {
    let all = tokenize_sql(text);
    let space = all.iter().find(|token| token.kind == TokenKind::Space)?;
    Some((text[..space.start].to_string(), strip_quotes(text[space.end()..].trim())))
}

fn strip_quotes(text: &str) -> String {
    for quote in ['"', '\''] {
        if text.len() > 1 && text.starts_with(quote) && text.ends_with(quote) {
            return text[1..text.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_string()
}

/// The columns of a result that are used to draw.
struct PlotPlan {
    /// The columns to draw, each as a path into structs.
    values: Vec<(String, Vec<String>)>,
    /// The column of x; None to use row numbers.
    time: Option<String>,
    /// The column that tells symbols apart.
    entity: Option<String>,
    /// The symbol that was asked for.
    wanted_symbol: Option<String>,
}

impl PlotPlan {
    fn new(request: &PlotRequest, schema: &Schema) -> Result<Self> {
        let fields = schema.fields();
        let by_name = |name: &str, fits: fn(&DataType) -> bool| {
            let named = fields.iter().find(|field| field.name() == name && fits(field.data_type()));
            named.or_else(|| fields.iter().find(|field| fits(field.data_type())))
        };
        let time = by_name("ts", is_time_type).map(|field| field.name().clone());
        let entity = by_name("symbol", is_text_type).map(|field| field.name().clone());
        if let (Some(symbol), None) = (&request.symbol, &entity) {
            return Err(Error::query(format!(
                "the result has no column that says which rows are {symbol}'s"
            ))
            .hint("add symbol to the SELECT"));
        }
        let mut values = Vec::new();
        for name in &request.columns {
            values.extend(resolve_column(name, schema)?);
        }
        Ok(Self { values, time, entity, wanted_symbol: request.symbol.clone() })
    }

    /// Wraps the query into one that selects only what is drawn.
    fn narrow_sql(&self, text: &str) -> String {
        let quote = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let mut columns: Vec<String> = Vec::new();
        let own = self.values.iter().filter_map(|(_, path)| path.first());
        for name in self.time.iter().chain(&self.entity).chain(own).map(quote) {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        let filter = match (&self.entity, &self.wanted_symbol) {
            (Some(entity), Some(symbol)) => {
                format!(" WHERE {} = '{}'", quote(entity), symbol.replace('\'', "''"))
            }
            _ => String::new(),
        };
        format!("SELECT {} FROM (\n{text}\n) AS result{filter}", columns.join(", "))
    }
}

fn is_time_type(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

fn is_text_type(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_text_type(value),
        other => other.is_string(),
    }
}

fn is_drawable(kind: &DataType) -> bool {
    kind.is_numeric() || *kind == DataType::Boolean
}

/// Returns the path of every numeric column and struct field in the result: `close`, `macd.macdsignal`.
fn numeric_paths(schema: &Schema) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for field in schema.fields() {
        match field.data_type() {
            DataType::Struct(inner) => found.extend(
                inner
                    .iter()
                    .filter(|inner| is_drawable(inner.data_type()))
                    .map(|inner| vec![field.name().clone(), inner.name().clone()]),
            ),
            kind if is_drawable(kind) => found.push(vec![field.name().clone()]),
            _ => {}
        }
    }
    found
}

/// Resolves a name to numbers: a column, all fields of a struct, or one field given as `macd.macdsignal`,
/// `macd['macdsignal']` or, as a target names it, `macd_macdsignal`.
fn resolve_column(name: &str, schema: &Schema) -> Result<Vec<(String, Vec<String>)>> {
    let all = numeric_paths(schema);
    let plain = name.replace("['", ".").replace("']", "").to_lowercase();
    let fits = |path: &&Vec<String>| {
        let spelt = [path[0].clone(), path.join("."), path.join("_")];
        spelt.iter().any(|spelt| spelt.to_lowercase() == plain)
    };
    let found: Vec<_> =
        all.iter().filter(fits).map(|path| (path.join("."), path.clone())).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(field) = schema.fields().iter().find(|field| field.name().to_lowercase() == plain) {
        let kind = super::type_names::type_name(field.data_type());
        return Err(Error::query(format!("{name} is {kind}, only numbers can be drawn")));
    }
    let names: Vec<String> = all.iter().map(|path| path.join(".")).collect();
    let hint = did_you_mean(name, "its numbers", names.iter().map(String::as_str));
    Err(Error::query(format!("the result has no column {name}")).hint(hint))
}

/// The points of one symbol that were read so far.
#[derive(Default)]
struct PlotPoints {
    symbol: Option<String>,
    /// True if rows of other symbols were left out.
    skipped: bool,
    x: Vec<f64>,
    y: Vec<Vec<Option<f64>>>,
    count: usize,
    seen: usize,
}

impl PlotPoints {
    fn new(plan: &PlotPlan) -> Self {
        Self {
            y: vec![Vec::new(); plan.values.len()],
            symbol: plan.wanted_symbol.clone(),
            ..Self::default()
        }
    }

    /// Adds the rows of the symbol. If no symbol was asked for, the first by name is drawn: when a symbol
    /// with a lower name appears, the points so far are discarded, so that the order of rows does not matter.
    fn add_batch(&mut self, plan: &PlotPlan, batch: &RecordBatch) -> Result<()> {
        let x =
            plan.time.as_ref().map(|name| cast_to_micros(find_column(batch, name)?)).transpose()?;
        let entity =
            plan.entity.as_ref().map(|name| cast_to_text(find_column(batch, name)?)).transpose()?;
        let values: Vec<ArrayRef> =
            plan.values.iter().map(|(_, path)| read_doubles(batch, path)).collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            self.seen += 1;
            if let Some(entity) = &entity
                && !self.accept_row(plan, entity.as_string::<i32>(), row)
            {
                continue;
            }
            if self.count >= PLOT_ROWS {
                return Err(
                    Error::query(format!("more than {PLOT_ROWS} rows to draw")).hint("add a WHERE")
                );
            }
            let x = match &x {
                Some(x) if x.is_null(row) => continue,
                Some(x) => x.as_primitive::<Int64Type>().value(row) as f64 / 1e6,
                None => self.seen as f64,
            };
            self.x.push(x);
            for (points, values) in self.y.iter_mut().zip(&values) {
                let values = values.as_primitive::<Float64Type>();
                points.push(values.is_valid(row).then(|| values.value(row)));
            }
            self.count += 1;
        }
        Ok(())
    }

    fn accept_row(
        &mut self,
        plan: &PlotPlan,
        symbols: &arrow::array::StringArray,
        row: usize,
    ) -> bool {
        if symbols.is_null(row) {
            return false;
        }
        let symbol = symbols.value(row);
        match &self.symbol {
            Some(mine) if mine == symbol => return true,
            Some(mine) if plan.wanted_symbol.is_some() || mine.as_str() < symbol => {
                self.skipped = true;
                return false;
            }
            Some(_) => {
                self.skipped = true;
                self.x.clear();
                self.y.iter_mut().for_each(Vec::clear);
                self.count = 0;
            }
            None => {}
        }
        self.symbol = Some(symbol.to_string());
        true
    }

    /// Returns the points as series, in the order of time.
    fn to_series(&self, plan: &PlotPlan) -> Vec<Series> {
        let mut order: Vec<usize> = (0..self.x.len()).collect();
        order.sort_by(|a, b| self.x[*a].total_cmp(&self.x[*b]));
        let names = plan.values.iter().map(|(name, _)| name.clone());
        names
            .zip(&self.y)
            .map(|(name, y)| {
                let points = order.iter().map(|at| (self.x[*at], y[*at])).collect();
                Series { name, points }
            })
            .collect()
    }
}

fn find_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("column {name} is gone")))
}

fn cast_array(array: &dyn Array, kind: &DataType) -> Result<ArrayRef> {
    cast(array, kind).map_err(|error| Error::query(format!("the result cannot be drawn: {error}")))
}

/// Casts times to microseconds since 1970 in the zone of the column.
fn cast_to_micros(array: &ArrayRef) -> Result<ArrayRef> {
    let stamps = cast_array(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    cast_array(&stamps, &DataType::Int64)
}

fn cast_to_text(array: &ArrayRef) -> Result<ArrayRef> {
    cast_array(array, &DataType::Utf8)
}

fn read_doubles(batch: &RecordBatch, path: &[String]) -> Result<ArrayRef> {
    let missing = || Error::internal("a column to draw is gone");
    let array = find_column(batch, path.first().ok_or_else(missing)?)?;
    let Some(field) = path.get(1) else { return cast_array(array, &DataType::Float64) };
    let record = array.as_struct_opt().ok_or_else(missing)?;
    let values = cast_array(record.column_by_name(field).ok_or_else(missing)?, &DataType::Float64)?;
    match record.nulls() {
        Some(_) => arrow::compute::is_null(record)
            .and_then(|null| arrow::compute::nullif(&values, &null))
            .map_err(|error| Error::internal(error.to_string())),
        None => Ok(values),
    }
}
