//! The documentation of the functions for users, rendered from the tables alone.

use crate::entry::Entry;
use crate::indicator::{
    CALM_BARS, CALM_TIMES, EXAMPLE_BARS, Example, ExampleRows, FunctionKind, Memory, ParamKind,
    Spec, display_number,
};
use crate::kernel::MaType;
use crate::spec_docs::describe_param;
use std::fmt::Write;

/// Returns the text of `docs/functions.md`.
pub fn functions_markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    let _ = writeln!(text, "\n{}\n", describe_averages());
    text.push_str(&example_bars());
    let mut group = None;
    for entry in crate::all_functions() {
        if group != Some(entry.spec.group) {
            group = Some(entry.spec.group);
            let _ = writeln!(text, "\n## {}", entry.spec.group);
        }
        let _ = write!(text, "\n### {}\n\n{}", entry.spec.name, render_section(entry, "`"));
    }
    text
}

const INTRODUCTION: &str = "\
# Functions

This file is rendered from the tables in `udfs/src`; `UPDATE_DOCS=1 cargo test --workspace \
--test documentation` writes it anew.

Indicators are window functions: `rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts)`. Inputs \
come first, then parameters by position or by name; what is left out has its default. A function \
with several outputs gives a struct: `macd(close) OVER w['macdsignal']`. Names, defaults and \
values are those of TA-Lib 0.8.3, to 1e-9 relative.

A row in which any input is NULL, NaN or infinite gives NULL and is skipped: the state does not \
move. The first `lookback` valid rows give NULL, and so does a result that is not finite. Where \
a quotient is 0/0 and TA-Lib defines a value, it is that value.

`max`, `min`, `sum`, `stddev` and `var` belong to SQL. Given a period they are TA-Lib's \
(`max(close, 30) OVER w`), without one they are SQL's. `stddev(x, n)` and `var(x, n)` divide by \
n, as TA-Lib does; SQL's `stddev(x)` and `var(x)` divide by n - 1.

Warm-up is the number of rows after which a value practically no longer depends on where the \
series starts. For recursions it is an estimate, for windows it is the lookback, and what is \
cumulative never forgets.
";

fn describe_averages() -> String {
    format!(
        "A moving average is chosen by number or by name, `1` or `'ema'`: {}.",
        MaType::ALL.map(|ma| format!("{} {}", ma.talib_code(), ma.name())).join(", ")
    )
}

fn example_bars() -> String {
    let mut text = String::from("The examples read these bars:\n\n");
    for (name, values) in EXAMPLE_BARS {
        let _ = writeln!(text, "    {name:<8}{}", align_values(&values));
    }
    let calm = CALM_BARS.map(|bar| format!("{bar:?}")).join(" and ");
    let _ = write!(
        text,
        "\nThe bars of a candlestick pattern stand after calm ones: {CALM_TIMES} times the bars with open, high, low \
         and close of {calm}.\n"
    );
    text
}

fn align_values(values: &[f64]) -> String {
    values.iter().map(|value| format!("{:>10}", format_rounded(*value))).collect()
}

/// Formats a number with at most five decimals, and NaN as NULL.
fn format_rounded(value: f64) -> String {
    if value.is_nan() { "NULL".to_string() } else { display_number((value * 1e5).round() / 1e5) }
}

/// Describes one function in plain text, for terminals.
pub fn describe_entry(entry: &Entry) -> String {
    render_section(entry, "")
}

/// Describes one function; `code` is the mark around code, such as a backtick.
fn render_section(entry: &Entry, code: &str) -> String {
    let spec = &entry.spec;
    let mut text = format!("{}. {}\n\n", spec.title, spec.doc);
    let _ = writeln!(text, "    {}\n", spec.call_signature());
    for param in spec.params {
        let _ = writeln!(text, "- {code}{}{code}: {}", param.name, describe_param(param));
    }
    let _ = writeln!(text, "- memory: {}", describe_memory(spec));
    let chosen = spec.params.iter().any(|param| param.kind == ParamKind::MaType);
    if chosen && spec.memory == Memory::Window {
        text.push_str("- with a moving average that is recursive, it is recursive too\n");
    }
    let _ = writeln!(text, "- source: {}", spec.source);
    if let Some(example) = &spec.example {
        let _ = write!(text, "\n{}", example_rows(spec, example));
    }
    text
}

fn describe_memory(spec: &Spec) -> String {
    let Some(bound) = crate::find_function(spec.name)
        .and_then(|entry| entry.bind_params(&spec.default_params()).ok())
    else {
        return spec.memory.to_string();
    };
    match (spec.function_kind(), bound.warmup_rows()) {
        (FunctionKind::CrossSection, _) => spec.memory.to_string(),
        (_, usize::MAX) => format!("{}; lookback {}", spec.memory, bound.lookback_rows()),
        (_, warmup) if warmup == bound.lookback_rows() => {
            format!("{}; lookback {} at the defaults", spec.memory, bound.lookback_rows())
        }
        (_, warmup) => format!(
            "{}; lookback {}, warm-up about {warmup} at the defaults",
            spec.memory,
            bound.lookback_rows()
        ),
    }
}

fn example_rows(spec: &Spec, example: &Example) -> String {
    let params = example.params.iter().map(|value| display_number(*value));
    let args = spec.inputs.iter().map(|input| (*input).to_string()).chain(params);
    let call = format!("{}({})", spec.name, args.collect::<Vec<_>>().join(", "));
    let mut text = match example.rows {
        ExampleRows::Repeated(1) => format!("    {call}\n"),
        ExampleRows::Repeated(times) => {
            format!("    {call} for the last of {times} times the bars\n")
        }
        ExampleRows::AfterCalm(bars) => {
            let mut text = format!("    {call} after calm bars\n");
            for (i, price) in ["open", "high", "low", "close"].into_iter().enumerate() {
                let values: Vec<f64> = bars.iter().map(|bar| bar[i]).collect();
                let _ = writeln!(text, "    {price:<13}{}", align_values(&values));
            }
            text
        }
    };
    for (name, values) in spec.outputs.iter().zip(example.outputs) {
        let _ = writeln!(text, "    {name:<13}{}", align_values(values));
    }
    text
}
