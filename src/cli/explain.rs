//! `windrow explain`: prints what a feature set needs, and its plan.

use clap::Args;
use datafusion::physical_plan::displayable;

use super::run::parse_params;
use super::shared_args::SessionArgs;
use super::stdout::{print_json, print_text};
use crate::config::Config;
use crate::error::Result;
use crate::report::{CountedRows, HistoryStep, PlanReport, RowCount};

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

pub(super) async fn explain_set(args: ExplainArgs, config: Config) -> Result<u8> {
    let engine = args.session.build_engine(config).await?;
    let set = engine.find_set(&args.set)?;
    engine.bind_standard_bars(&set)?;
    let planned = engine.plan_set(set, &parse_params(&args.params)?).await?;
    let plan = engine.physical_plan(&planned).await?;
    let plan = displayable(plan.as_ref()).indent(false).to_string();
    let report = PlanReport::from_planned(
        &planned,
        &engine.definition_fingerprint(&planned),
        &engine.column_identities(&planned)?,
        &plan,
    );
    if args.json {
        print_json(&report)?;
    } else {
        print_text(&format_plan_report(&report))?;
    }
    Ok(0)
}

fn format_look_ahead(rows: RowCount) -> String {
    match rows {
        RowCount::Count(0) => "-".into(),
        rows => rows.to_string(),
    }
}

fn format_plan_report(report: &PlanReport) -> String {
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
            format_look_ahead(output.look_ahead) + label,
            output.made_of.join(", "),
        ]);
    }
    text += &align_columns(&rows);
    text += "\nlookback: rows before the first value; history: rows that a value depends on; \
             warm-up: rows after which it practically no longer depends on where the data starts\n";
    text += &describe_history(report);
    text + "\nplan\n" + &report.plan
}

/// Writes one sentence for each way in which a history does not simply count every row of the entity.
fn describe_history(report: &PlanReport) -> String {
    let mut cases: Vec<(String, Vec<&str>)> = Vec::new();
    let mut with_history = 0;
    for output in &report.outputs {
        with_history += usize::from(!output.history_of.is_empty());
        for step in &output.history_of {
            let Some(case) = describe_history_step(step, &report.entity) else { continue };
            match cases.iter_mut().find(|(known, _)| *known == case) {
                Some((_, names)) if names.contains(&output.name.as_str()) => {}
                Some((_, names)) => names.push(&output.name),
                None => cases.push((case, vec![output.name.as_str()])),
            }
        }
    }
    let sentence = |(case, names): &(String, Vec<&str>)| match names.len() {
        all if all == with_history => format!("history {case}\n"),
        1..=3 => format!("history of {} {case}\n", names.join(", ")),
        many => format!("history of {} and {} more {case}\n", names[..2].join(", "), many - 2),
    };
    cases.iter().map(sentence).collect()
}

/// Describes which rows one step counts; None if it counts every row of the entity.
fn describe_history_step(step: &HistoryStep, entity: &str) -> Option<String> {
    if step.rows == 0 {
        return Some(format!("goes on in all rows of the same {}", step.keys.join(", ")));
    }
    let of_entity = step.keys == [entity];
    if step.counted == CountedRows::Every && of_entity && step.filters.is_empty() {
        return None;
    }
    let mut text = match step.counted {
        CountedRows::Valid => "counts rows with a value in every input".to_string(),
        CountedRows::Every => "counts every row".to_string(),
    };
    if step.keys.is_empty() {
        text += " of all groups together";
    } else if !of_entity {
        text += &format!(" of the same {}", step.keys.join(", "));
    }
    let filters: Vec<String> = step.filters.iter().map(|f| format!("`{f}`")).collect();
    if !filters.is_empty() {
        text += &format!("; rows that {} removes do not count", filters.join(" or "));
    }
    Some(text)
}

fn align_columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}
