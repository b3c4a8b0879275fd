//! `windrow explain`: what a feature set needs, and how it will run.

use clap::Args;
use datafusion::physical_plan::displayable;

use super::out::{print, print_json};
use super::run::parse_params;
use super::session::SessionArgs;
use crate::config::Config;
use crate::error::Result;
use crate::report::{PlanReport, Rows};

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
    let report = PlanReport::of(&planned, &engine.fingerprint(&planned), &plan);
    if args.json {
        print_json(&report)?;
    } else {
        print(&as_text(&report))?;
    }
    Ok(0)
}

fn ahead(rows: Rows) -> String {
    match rows {
        Rows::Count(0) => "-".into(),
        rows => rows.to_string(),
    }
}

fn as_text(report: &PlanReport) -> String {
    let mut text = format!("{} ({})\n", report.set, report.file);
    if let Some(description) = &report.description {
        text += &format!("{}\n", description.trim());
    }
    text += &format!(
        "\nentity {}, time {}, reads {}, fingerprint {}\n\n",
        report.entity,
        report.time,
        report.inputs.join(", "),
        report.fingerprint
    );
    let mut rows = vec![
        ["output", "type", "lookback", "history", "warm-up", "look-ahead", "made of"]
            .map(str::to_string),
    ];
    for output in &report.outputs {
        let label = if output.label { " (label)" } else { "" };
        rows.push([
            output.name.clone(),
            output.data_type.clone(),
            output.lookback.to_string(),
            output.history.to_string(),
            output.warmup.map_or("never".into(), |rows| rows.to_string()),
            ahead(output.look_ahead) + label,
            output.made_of.join(", "),
        ]);
    }
    text += &columns(&rows);
    text += "\nlookback: rows before the first value; history: rows that a value depends on; \
             warm-up: rows after which it practically no longer depends on where the data starts\n";
    text + "\nplan\n" + &report.plan
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
