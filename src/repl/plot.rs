//! `\plot`: columns of one symbol, drawn over time.

use super::complete::Names;
use super::lexer::{Kind, Token, tokens};
use super::session::{Flow, Session};
use crate::engine::Query;
use crate::error::{Error, Result, did_you_mean};
use crate::limits::PLOT_ROWS;
use crate::render::{Axis, Chart, Series, from_io};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use std::path::PathBuf;
use std::sync::Arc;

/// What a result came from, so that it can be had again.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Sql(String),
    File(PathBuf),
}

/// What `\plot` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    columns: Vec<String>,
    symbol: Option<String>,
    from: Option<String>,
}

const USAGE: &str = "\\plot takes columns, such as \\plot close, sma_20 of AAPL";

impl Session {
    /// Draws columns of the last result, or of another query.
    pub(super) async fn plot(&mut self, args: &str) -> Result<Flow> {
        let request = parse(args)?;
        let origin = match (&request.from, &self.last) {
            (Some(query), _) => Origin::Sql(whole_query(query, &self.names)),
            (None, Some(last)) => last.clone(),
            (None, None) => {
                return Err(Error::query("there is no result to draw yet")
                    .hint("run a SELECT first, or end with a table: from bars"));
            }
        };
        let query = self.query_of(&origin).await?;
        let plan = Plan::new(&request, &query.schema())?;
        let query = Arc::new(self.narrowed(query, &origin, &plan).await);
        let mut found = Points::new(&plan);
        let mut rows = self.runner.start(&query, self.interrupt.as_mut())?;
        while let Some(batch) = rows.next().await? {
            found.take(&plan, &batch)?;
        }
        drop(rows);
        self.draw(&plan, found)?;
        Ok(Flow::Continue)
    }

    async fn query_of(&mut self, origin: &Origin) -> Result<Query> {
        let (engine, parameters) = (&self.engine, &self.parameters);
        let work = async move {
            match origin {
                Origin::Sql(text) => engine.query(text).await,
                Origin::File(path) => engine.run_file(path, parameters).await,
            }
        };
        match &mut self.interrupt {
            Some(interrupt) => interrupt.or_cancel(work).await,
            None => work.await,
        }
    }

    /// The same query with only the rows and columns drawn, where it may stand in another one:
    /// then the engine reads one symbol and not all.
    async fn narrowed(&mut self, query: Query, origin: &Origin, plan: &Plan) -> Query {
        let Origin::Sql(text) = origin else { return query };
        match self.engine.query(&plan.narrow(text)).await {
            Ok(narrow) => narrow,
            Err(_) => query,
        }
    }

    fn draw(&mut self, plan: &Plan, found: Points) -> Result<()> {
        if found.count == 0 {
            return Err(match &plan.wanted {
                Some(symbol) => Error::query(format!("the result has no rows of {symbol}"))
                    .hint("symbols are written as in the data, upper and lower case included"),
                None => Error::query("the result has no rows to draw"),
            });
        }
        let symbol = plan.wanted.clone().or_else(|| found.symbol.clone());
        let others = plan.wanted.is_none() && found.skipped;
        let rows = if found.count == 1 { "row" } else { "rows" };
        let title = match &symbol {
            Some(symbol) => format!("{symbol}, {} {rows}", found.count),
            None => format!("{} {rows}", found.count),
        };
        let series = found.series(plan);
        let (width, height, color) = match self.terminal {
            Some(t) => (t.width.min(200), t.height.saturating_sub(2).clamp(12, 40), t.color),
            None => (100, 24, false),
        };
        let x = if plan.time.is_some() { Axis::Time } else { Axis::Number };
        let chart = Chart { title: &title, series: &series, x, width, height, color };
        self.out.write_all(chart.render().as_bytes()).map_err(from_io)?;
        if let (true, Some(symbol)) = (others, symbol) {
            self.note(&format!(
                "{symbol} is the first of several symbols; of SYMBOL draws another"
            ));
        }
        Ok(())
    }
}

/// A table name is short for all of it.
fn whole_query(text: &str, names: &Names) -> String {
    let text = text.trim().trim_end_matches(';').trim_end();
    let name = text.trim_matches('"');
    let single =
        matches!(tokens(text).as_slice(), [token] if matches!(token.kind, Kind::Word | Kind::Name));
    if single || names.tables.contains_key(name) {
        return format!("SELECT * FROM {text}");
    }
    text.to_string()
}

/// `close, sma_20 of AAPL from SELECT ...`; `of` may be left out.
fn parse(args: &str) -> Result<Request> {
    let all = tokens(args);
    let keyword = |word: &str, within: usize| {
        let mut found = all.iter().filter(|token| token.is(word) && token.start > 0);
        found.find(|token| token.end() <= within).map(|token| (token.start, token.end()))
    };
    let from = keyword("from", args.len());
    let end = from.map_or(args.len(), |(start, _)| start);
    let of = keyword("of", end);
    let mut columns = list(&all, args, of.map_or(end, |(start, _)| start));
    let mut symbol = of.map(|(_, from)| unquoted(args[from..end].trim()));
    if of.is_none()
        && let Some(last) = columns.last_mut()
        && let Some((column, rest)) = split_symbol(last)
    {
        (*last, symbol) = (column, Some(rest));
    }
    let columns: Vec<String> = columns.iter().map(|column| unquoted(column)).collect();
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
    Ok(Request { columns, symbol, from })
}

/// The parts between commas, up to `end`.
fn list(all: &[Token], args: &str, end: usize) -> Vec<String> {
    let commas = all.iter().filter(|token| token.text == "," && token.start < end);
    let mut start = 0;
    let mut parts = Vec::new();
    for at in commas.map(|token| token.start).chain([end]) {
        parts.push(args[start..at].trim().to_string());
        start = (at + 1).min(end);
    }
    parts
}

/// `sma_20 AAPL` into both.
fn split_symbol(text: &str) -> Option<(String, String)> {
    let all = tokens(text);
    let space = all.iter().find(|token| token.kind == Kind::Space)?;
    Some((text[..space.start].to_string(), unquoted(text[space.end()..].trim())))
}

fn unquoted(text: &str) -> String {
    for quote in ['"', '\''] {
        if text.len() > 1 && text.starts_with(quote) && text.ends_with(quote) {
            return text[1..text.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_string()
}

/// Where in a result the things to draw are.
struct Plan {
    /// The columns to draw, each as a path into structs.
    values: Vec<(String, Vec<String>)>,
    /// The column of x; row numbers without one.
    time: Option<String>,
    /// The column that tells symbols apart.
    entity: Option<String>,
    /// The symbol asked for.
    wanted: Option<String>,
}

impl Plan {
    fn new(request: &Request, schema: &Schema) -> Result<Self> {
        let fields = schema.fields();
        let by_name = |name: &str, fits: fn(&DataType) -> bool| {
            let named = fields.iter().find(|field| field.name() == name && fits(field.data_type()));
            named.or_else(|| fields.iter().find(|field| fits(field.data_type())))
        };
        let time = by_name("ts", is_time).map(|field| field.name().clone());
        let entity = by_name("symbol", is_text).map(|field| field.name().clone());
        if let (Some(symbol), None) = (&request.symbol, &entity) {
            return Err(Error::query(format!(
                "the result has no column that says which rows are {symbol}'s"
            ))
            .hint("add symbol to the SELECT"));
        }
        let mut values = Vec::new();
        for name in &request.columns {
            values.extend(resolve(name, schema)?);
        }
        Ok(Self { values, time, entity, wanted: request.symbol.clone() })
    }

    /// The query around the query.
    fn narrow(&self, text: &str) -> String {
        let quote = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let mut columns: Vec<String> = Vec::new();
        let own = self.values.iter().filter_map(|(_, path)| path.first());
        for name in self.time.iter().chain(&self.entity).chain(own).map(quote) {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        let filter = match (&self.entity, &self.wanted) {
            (Some(entity), Some(symbol)) => {
                format!(" WHERE {} = '{}'", quote(entity), symbol.replace('\'', "''"))
            }
            _ => String::new(),
        };
        format!("SELECT {} FROM (\n{text}\n) AS result{filter}", columns.join(", "))
    }
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_text(value),
        other => other.is_string(),
    }
}

fn is_drawn(kind: &DataType) -> bool {
    kind.is_numeric() || *kind == DataType::Boolean
}

/// Every number in the result with its path: `close`, `macd.macdsignal`.
fn numbers(schema: &Schema) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for field in schema.fields() {
        match field.data_type() {
            DataType::Struct(inner) => found.extend(
                inner
                    .iter()
                    .filter(|inner| is_drawn(inner.data_type()))
                    .map(|inner| vec![field.name().clone(), inner.name().clone()]),
            ),
            kind if is_drawn(kind) => found.push(vec![field.name().clone()]),
            _ => {}
        }
    }
    found
}

/// The numbers that a name means: a column, all fields of a struct, or one as `macd.macdsignal`,
/// `macd['macdsignal']` or, as a target names it, `macd_macdsignal`.
fn resolve(name: &str, schema: &Schema) -> Result<Vec<(String, Vec<String>)>> {
    let all = numbers(schema);
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
        let kind = super::types::type_name(field.data_type());
        return Err(Error::query(format!("{name} is {kind}, only numbers can be drawn")));
    }
    let names: Vec<String> = all.iter().map(|path| path.join(".")).collect();
    let hint = did_you_mean(name, "its numbers", names.iter().map(String::as_str));
    Err(Error::query(format!("the result has no column {name}")).hint(hint))
}

/// What was read so far: the points of one symbol.
#[derive(Default)]
struct Points {
    symbol: Option<String>,
    /// Whether rows of other symbols were left out.
    skipped: bool,
    x: Vec<f64>,
    y: Vec<Vec<Option<f64>>>,
    count: usize,
    seen: usize,
}

impl Points {
    fn new(plan: &Plan) -> Self {
        Self {
            y: vec![Vec::new(); plan.values.len()],
            symbol: plan.wanted.clone(),
            ..Self::default()
        }
    }

    /// Takes the rows of the symbol. Without one asked for it is the first by name: when a lower
    /// one turns up, what was read of another is forgotten, so that the order of rows is no matter.
    fn take(&mut self, plan: &Plan, batch: &RecordBatch) -> Result<()> {
        let x = plan.time.as_ref().map(|name| seconds(column(batch, name)?)).transpose()?;
        let entity = plan.entity.as_ref().map(|name| texts(column(batch, name)?)).transpose()?;
        let values: Vec<ArrayRef> =
            plan.values.iter().map(|(_, path)| doubles(batch, path)).collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            self.seen += 1;
            if let Some(entity) = &entity
                && !self.is_mine(plan, entity.as_string::<i32>(), row)
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

    fn is_mine(&mut self, plan: &Plan, symbols: &arrow::array::StringArray, row: usize) -> bool {
        if symbols.is_null(row) {
            return false;
        }
        let symbol = symbols.value(row);
        match &self.symbol {
            Some(mine) if mine == symbol => return true,
            Some(mine) if plan.wanted.is_some() || mine.as_str() < symbol => {
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

    /// The points in the order of time.
    fn series(&self, plan: &Plan) -> Vec<Series> {
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

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("column {name} is gone")))
}

fn to(array: &dyn Array, kind: &DataType) -> Result<ArrayRef> {
    cast(array, kind).map_err(|error| Error::query(format!("the result cannot be drawn: {error}")))
}

/// Microseconds since 1970, in the zone of the column.
fn seconds(array: &ArrayRef) -> Result<ArrayRef> {
    let stamps = to(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    to(&stamps, &DataType::Int64)
}

fn texts(array: &ArrayRef) -> Result<ArrayRef> {
    to(array, &DataType::Utf8)
}

fn doubles(batch: &RecordBatch, path: &[String]) -> Result<ArrayRef> {
    let missing = || Error::internal("a column to draw is gone");
    let array = column(batch, path.first().ok_or_else(missing)?)?;
    let Some(field) = path.get(1) else { return to(array, &DataType::Float64) };
    let record = array.as_struct_opt().ok_or_else(missing)?;
    let values = to(record.column_by_name(field).ok_or_else(missing)?, &DataType::Float64)?;
    match record.nulls() {
        Some(_) => arrow::compute::is_null(record)
            .and_then(|null| arrow::compute::nullif(&values, &null))
            .map_err(|error| Error::internal(error.to_string())),
        None => Ok(values),
    }
}
