//! `windrow functions`: the indicators, from their tables.

use clap::Args;
use serde_json::json;
use windrow_udfs::Entry;

use super::out::{print, print_json};
use crate::error::{Error, Result, did_you_mean};

#[derive(Debug, Args)]
pub(super) struct FunctionsArgs {
    /// One indicator; all of them if not given
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &FunctionsArgs) -> Result<u8> {
    let Some(name) = &args.name else {
        if args.json {
            print_json(&windrow_udfs::all().map(describe).collect())?;
        } else {
            print(&listing())?;
        }
        return Ok(0);
    };
    let name = name.to_lowercase();
    let Some(entry) = windrow_udfs::find(&name) else {
        let known: Vec<&str> = windrow_udfs::all().map(|e| e.spec.name).collect();
        return Err(Error::query(format!("unknown function {name}")).hint(did_you_mean(
            &name,
            "functions",
            known,
        )));
    };
    if args.json {
        print_json(&describe(entry))?;
    } else {
        print(&(windrow_udfs::docs::describe(entry).trim_end().to_string() + "\n"))?;
    }
    Ok(0)
}

/// All indicators by group, one line each.
fn listing() -> String {
    let width = windrow_udfs::all().map(|e| e.spec.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut group = String::new();
    for entry in windrow_udfs::all() {
        let of = entry.spec.group.to_string();
        if of != group {
            if !group.is_empty() {
                text.push('\n');
            }
            text += &format!("{of}\n");
            group = of;
        }
        text += &format!("  {:width$}  {}\n", entry.spec.name, entry.spec.title);
    }
    text + "\n`windrow functions NAME` documents one.\n"
}

fn describe(entry: &'static Entry) -> serde_json::Value {
    let spec = &entry.spec;
    let lookback =
        entry.bind(&spec.defaults()).map(|bound| (bound.lookback(), bound.warmup())).ok();
    let forgets = |l: (usize, usize)| Some(l.1).filter(|rows| *rows < usize::MAX);
    json!({
        "name": spec.name,
        "title": spec.title,
        "group": spec.group.to_string(),
        "signature": spec.signature(),
        "description": spec.doc,
        "inputs": spec.inputs,
        "parameters": spec.params.iter().map(|p| json!({
            "name": p.name, "default": p.default, "min": p.min, "max": p.max,
        })).collect::<Vec<_>>(),
        "outputs": spec.outputs,
        "memory": spec.memory.to_string(),
        "lookback": lookback.map(|l| l.0),
        "warmup": lookback.and_then(forgets),
        "version": spec.version,
        "source": spec.source,
    })
}
