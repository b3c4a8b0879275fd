//! `windrow explain`: what a feature set needs, and how it will run.

use clap::Args;
use datafusion::physical_plan::displayable;
use serde_json::json;

use super::out::{print, print_json};
use super::run::parse_params;
use super::session::SessionArgs;
use crate::analysis::{Ahead, History};
use crate::config::Config;
use crate::engine::{OutputColumn, Planned};
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The feature set: a name, or a .sql file
    #[arg(value_name = "SET|FILE")]
    set: String,
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// A parameter of the feature set; several are allowed
    #[arg(long = "set", value_name = "K=V")]
    params: Vec<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: ExplainArgs, config: Config) -> Result<u8> {
    let engine = args.session.engine(config).await?;
    let set = engine.find_set(&args.set)?;
    engine.bind_standard_bars(&set)?;
    let planned = engine.plan_set(set, &parse_params(&args.params)?).await?;
    let plan = engine.physical_plan(&planned).await?;
    let plan = displayable(plan.as_ref()).indent(false).to_string();
    let fingerprint = engine.fingerprint(&planned);
    if args.json {
        print_json(&as_json(&planned, &fingerprint, &plan))?;
    } else {
        print(&as_text(&planned, &fingerprint, &plan))?;
    }
    Ok(0)
}

fn history(output: &OutputColumn) -> String {
    match output.need.history {
        History::Rows(rows) => rows.to_string(),
        History::All => "all".into(),
    }
}

/// None for what never forgets, such as a running sum.
fn warmup(output: &OutputColumn) -> Option<usize> {
    Some(output.need.warmup).filter(|rows| *rows < usize::MAX)
}

fn ahead(output: &OutputColumn) -> String {
    match output.need.ahead {
        Ahead::None => "-".into(),
        Ahead::Rows(rows) => rows.to_string(),
        Ahead::All => "all".into(),
    }
}

fn as_text(planned: &Planned, fingerprint: &str, plan: &str) -> String {
    let header = &planned.set.header;
    let mut text = format!("{} ({})\n", planned.set.name, planned.set.path);
    if let Some(description) = &header.description {
        text += &format!("{}\n", description.trim());
    }
    text += &format!(
        "\nentity {}, time {}, reads {}, fingerprint {}\n\n",
        header.entity,
        header.time,
        planned.inputs().join(", "),
        fingerprint
    );
    let mut rows = vec![
        ["output", "type", "lookback", "history", "warm-up", "look-ahead", "made of"]
            .map(str::to_string),
    ];
    for output in &planned.outputs {
        let label = if output.label { " (label)" } else { "" };
        rows.push([
            output.name.clone(),
            output.data_type.to_string(),
            output.need.lookback.to_string(),
            history(output),
            warmup(output).map_or("never".into(), |rows| rows.to_string()),
            ahead(output) + label,
            output.need.made_of.join(", "),
        ]);
    }
    text += &columns(&rows);
    text += "\nlookback: rows before the first value; history: rows that a value depends on; \
             warm-up: rows after which it practically no longer depends on where the data starts\n";
    text + "\nplan\n" + plan
}

fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

fn as_json(planned: &Planned, fingerprint: &str, plan: &str) -> serde_json::Value {
    let header = &planned.set.header;
    let output = |output: &OutputColumn| {
        let history = match output.need.history {
            History::Rows(rows) => json!(rows),
            History::All => json!("all"),
        };
        let ahead = match output.need.ahead {
            Ahead::None => json!(0),
            Ahead::Rows(rows) => json!(rows),
            Ahead::All => json!("all"),
        };
        json!({
            "name": output.name,
            "type": output.data_type.to_string(),
            "lookback": output.need.lookback,
            "history": history,
            "warmup": warmup(output),
            "look_ahead": ahead,
            "label": output.label,
            "made_of": output.need.made_of,
        })
    };
    json!({
        "set": planned.set.name,
        "file": planned.set.path,
        "description": header.description,
        "entity": header.entity,
        "time": header.time,
        "inputs": planned.inputs(),
        "fingerprint": fingerprint,
        "outputs": planned.outputs.iter().map(output).collect::<Vec<_>>(),
        "plan": plan,
    })
}
