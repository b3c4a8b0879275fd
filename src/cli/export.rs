//! `windrow export`: computes many feature sets and writes them to the targets of windrow.yaml.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::check::expand_set_args;
use super::progress::ProgressArgs;
use super::run::print_outcome;
use super::shared_args::SessionArgs;
use super::stdout::print_json;
use crate::commit::Target;
use crate::config::Config;
use crate::engine::{Engine, Export, ExportOptions, ExportOutcome, export_feature_sets};
use crate::error::{Error, Result};
use crate::report::ExportReport;
use crate::stop::Stop;
use crate::write::Progress;

/// The name of the target for sets without a target of their own name.
const COMMON_TARGET: &str = "export";

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Feature sets: .sql files, directories of them, or names
    #[arg(value_name = "SETS|DIR", required = true)]
    sets: Vec<String>,
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// A target of windrow.yaml, or a location, for every set: {set} in it stands for the set's name
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Do only what is not committed yet
    #[arg(long)]
    resume: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArgs,
}

pub(super) async fn export_sets(args: ExportArgs, config: Config, stop: Stop) -> Result<u8> {
    let started = Instant::now();
    let sets = assign_targets(&args, &config)?;
    let progress = Arc::new(Progress::default());
    let options = ExportOptions {
        sources: args.session.sources.parse_sources()?,
        config,
        resume: args.resume,
        progress: Arc::clone(&progress),
        stop,
    };
    let told = |export: &Export, exported: &ExportOutcome| {
        let name = &export.set.name;
        match exported {
            ExportOutcome::Committed(outcome) => {
                let _ = print_outcome(outcome, false);
            }
            ExportOutcome::Current => eprintln!("{name}: up to date -> {}", export.target),
            ExportOutcome::Failed(error) => eprintln!("failed: {name}: {error}"),
            ExportOutcome::LeftOut(read) => {
                eprintln!("left out: {name}: it reads {read}, which failed")
            }
        }
    };
    let work = export_feature_sets(&sets, &options, told);
    let results = args.progress.run_with_progress("export", &progress, work).await?;
    let done = ExportReport::from_results(&sets, &results, started.elapsed().as_secs_f64());
    if args.json {
        print_json(&done)?;
    }
    let ExportReport { committed, current, failed, left_out, seconds, .. } = done;
    eprintln!(
        "export: {committed} committed, {current} up to date, {failed} failed, {left_out} left out in {seconds:.2} s"
    );
    Ok(u8::from(failed + left_out > 0))
}

/// Pairs each set with its target: the one of the same name, or the common one.
fn assign_targets(args: &ExportArgs, config: &Config) -> Result<Vec<Export>> {
    let engine = Engine::new(config.clone())?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for name in expand_set_args(&args.sets)? {
        let set = engine.find_set(&name)?;
        let own = config.targets.get(&set.name).filter(|_| args.to.is_none());
        let common = args.to.as_deref().unwrap_or(COMMON_TARGET);
        let given = args.to.as_ref().filter(|to| !config.targets.contains_key(*to));
        let given = given.filter(|to| to.contains(['/', '{']) || to.ends_with(".csv"));
        let location = match (own, config.targets.get(common).or(given)) {
            (Some(own), _) => own.clone(),
            (None, Some(common)) if common.contains("{set}") => common.replace("{set}", &set.name),
            (None, Some(_)) if args.to.is_some() || config.targets.len() == 1 => {
                return Err(Error::usage(format!(
                    "the target {common} has no {{set}} in its location"
                ))
                .hint("write {set} where the name of the set belongs, such as features/{set}"));
            }
            (None, None) if args.to.is_some() => {
                let known = config.targets.keys().map(String::as_str);
                let error = Error::usage(format!("windrow.yaml names no target {common}"));
                return Err(match config.targets.is_empty() {
                    true => error.hint(format!("write --to '{common}/{{set}}' for a directory")),
                    false => error.hint(crate::error::did_you_mean(common, "targets", known)),
                });
            }
            _ => {
                missing.push(set.name);
                continue;
            }
        };
        let target = Target::parse(&location)?;
        if let Some(other) = taken.insert(target.to_string(), set.name.clone()) {
            return Err(Error::usage(format!("{other} and {} both go to {target}", set.name))
                .hint("give each set a target of its own"));
        }
        found.push(Export { set, target });
    }
    if !missing.is_empty() {
        return Err(Error::usage(format!("no target for {}", missing.join(", "))).hint(
            "name one of the same name in windrow.yaml, or one called export with {set} in its location",
        ));
    }
    Ok(found)
}
