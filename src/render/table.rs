//! Rows in a box or as Markdown: the first and the last ones, and the number of all.

use super::cell;
use super::layout::{ColumnSlot, display_width, fit_columns, truncate_text};
use super::{Limit, from_io};
use crate::error::{Result, group_digits, pluralize_count};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::collections::VecDeque;
use std::io::Write;

/// The rows of a result that are shown, first and last.
pub(super) struct ResultTable {
    schema: SchemaRef,
    limit: Limit,
    rows: usize,
    tail_rows: usize,
    head: Vec<RecordBatch>,
    tail: VecDeque<RecordBatch>,
}

impl ResultTable {
    pub(super) fn new(schema: &SchemaRef, limit: Limit) -> Self {
        let schema = SchemaRef::clone(schema);
        Self { schema, limit, rows: 0, tail_rows: 0, head: Vec::new(), tail: VecDeque::new() }
    }

    /// Adds rows: fills the head first, then keeps the latest rows as the tail.
    pub(super) fn push(&mut self, batch: &RecordBatch) {
        let max = self.limit.max_rows().unwrap_or(usize::MAX);
        let head = max.div_ceil(2).saturating_sub(self.rows).min(batch.num_rows());
        self.rows += batch.num_rows();
        if head > 0 {
            self.head.push(batch.slice(0, head));
        }
        let room = max / 2;
        let rest = (batch.num_rows() - head).min(room);
        if rest == 0 {
            return;
        }
        self.tail.push_back(batch.slice(batch.num_rows() - rest, rest));
        self.tail_rows += rest;
        while let Some(first) = self.tail.front_mut() {
            let excess = self.tail_rows.saturating_sub(room);
            if excess == 0 {
                break;
            }
            let gone = excess.min(first.num_rows());
            *first = first.slice(gone, first.num_rows() - gone);
            self.tail_rows -= gone;
            if first.num_rows() == 0 {
                self.tail.pop_front();
            }
        }
    }

    pub(super) fn write_box<W: Write>(&self, out: &mut W) -> Result<()> {
        let grid = self.to_cell_grid();
        let width = match self.limit {
            Limit::All => usize::MAX,
            Limit::Rows { max_width, .. } => max_width,
        };
        let text: Vec<bool> = grid.numbers.iter().map(|number| !number).collect();
        let slots = fit_columns(&grid.column_widths(), &text, width);
        let mut lines = String::new();
        if !slots.is_empty() {
            lines.push_str(&border_line(&slots, ["┌", "┬", "┐"]));
            lines.push_str(&format_row(&slots, "│", |index, width| {
                center_cell(&grid.names[index], width)
            }));
            lines.push_str(&border_line(&slots, ["├", "┼", "┤"]));
        }
        for (row, cells) in grid.rows.iter().enumerate() {
            if grid.gap == Some(row) {
                lines.push_str(&format_row(&slots, "│", |index, width| {
                    pad_cell("…", width, grid.numbers[index])
                }));
            }
            lines.push_str(&format_row(&slots, "│", |index, width| {
                pad_cell(&cells[index], width, grid.numbers[index])
            }));
            // Long tables are written in pieces.
            if lines.len() > 1 << 16 {
                out.write_all(lines.as_bytes()).map_err(from_io)?;
                lines.clear();
            }
        }
        if !slots.is_empty() {
            lines.push_str(&border_line(&slots, ["└", "┴", "┘"]));
        }
        let columns = slots.iter().filter(|slot| **slot != ColumnSlot::Gap).count();
        lines.push_str(&self.format_footer(grid.rows.len(), columns));
        out.write_all(lines.as_bytes()).map_err(from_io)
    }

    pub(super) fn write_markdown<W: Write>(&self, out: &mut W) -> Result<()> {
        let mut grid = self.to_cell_grid();
        for text in grid.names.iter_mut().chain(grid.rows.iter_mut().flatten()) {
            *text = text.replace('|', "\\|");
        }
        let slots = fit_columns(&grid.column_widths(), &vec![false; grid.names.len()], usize::MAX);
        let mut lines = format_row(&slots, "|", |index, width| {
            pad_cell(&grid.names[index], width, grid.numbers[index])
        });
        lines.push('|');
        for slot in &slots {
            let ColumnSlot::Column { index, width } = *slot else { continue };
            let end = if grid.numbers[index] { ":" } else { "-" };
            lines.push_str(&format!("{}{end}|", "-".repeat(width + 1)));
        }
        lines.push('\n');
        for (row, cells) in grid.rows.iter().enumerate() {
            if grid.gap == Some(row) {
                lines.push_str(&format_row(&slots, "|", |index, width| {
                    pad_cell("…", width, grid.numbers[index])
                }));
            }
            lines.push_str(&format_row(&slots, "|", |index, width| {
                pad_cell(&cells[index], width, grid.numbers[index])
            }));
        }
        if grid.rows.len() < self.rows {
            lines.push('\n');
            lines.push_str(&self.format_footer(grid.rows.len(), grid.names.len()));
        }
        out.write_all(lines.as_bytes()).map_err(from_io)
    }

    fn to_cell_grid(&self) -> CellGrid {
        let names =
            self.schema.fields().iter().map(|field| cell::escape_controls(field.name())).collect();
        let numbers = self
            .schema
            .fields()
            .iter()
            .map(|field| cell::is_right_aligned(field.data_type()))
            .collect();
        let mut rows = Vec::new();
        for batch in self.head.iter().chain(&self.tail) {
            for row in 0..batch.num_rows() {
                rows.push(
                    batch.columns().iter().map(|column| cell::display_cell(column, row)).collect(),
                );
            }
        }
        let head: usize = self.head.iter().map(RecordBatch::num_rows).sum();
        let gap = (rows.len() < self.rows).then_some(head);
        CellGrid { names, numbers, rows, gap }
    }

    /// Formats the last line: `(1,234 rows, 40 shown; 60 columns, 9 shown)`.
    fn format_footer(&self, rows: usize, columns: usize) -> String {
        let mut text = format!("({}", format_count(self.rows, "row"));
        if rows < self.rows {
            text.push_str(&format!(", {} shown", group_digits(rows as u64)));
        }
        let all = self.schema.fields().len();
        if columns < all {
            text.push_str(&format!("; {}, {columns} shown", format_count(all, "column")));
        }
        text.push_str(")\n");
        text
    }
}

/// The text of every cell that is shown.
struct CellGrid {
    names: Vec<String>,
    numbers: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// The row before which rows were left out; None if all rows are shown.
    gap: Option<usize>,
}

impl CellGrid {
    fn column_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| display_width(name)).collect();
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(display_width(text));
            }
        }
        widths
    }
}

fn format_row(slots: &[ColumnSlot], bar: &str, cell: impl Fn(usize, usize) -> String) -> String {
    let mut text = bar.to_string();
    for slot in slots {
        let inner = match *slot {
            ColumnSlot::Column { index, width } => cell(index, width),
            ColumnSlot::Gap => "…".to_string(),
        };
        text.push_str(&format!(" {inner} {bar}"));
    }
    text.push('\n');
    text
}

fn border_line(slots: &[ColumnSlot], [left, middle, right]: [&str; 3]) -> String {
    let parts: Vec<String> = slots.iter().map(|slot| "─".repeat(slot.width() + 2)).collect();
    format!("{left}{}{right}\n", parts.join(middle))
}

fn pad_cell(text: &str, width: usize, right: bool) -> String {
    let text = truncate_text(text, width);
    let space = " ".repeat(width.saturating_sub(display_width(&text)));
    if right { space + &text } else { text + &space }
}

fn center_cell(text: &str, width: usize) -> String {
    let text = truncate_text(text, width);
    let space = width.saturating_sub(display_width(&text));
    format!("{}{text}{}", " ".repeat(space / 2), " ".repeat(space - space / 2))
}

/// Formats a number with its noun: `1 row`, `1,234 rows`.
pub(super) fn format_count(number: usize, noun: &str) -> String {
    pluralize_count(number as u64, noun)
}
