//! `windrow functions`: lists the indicators, or documents one.

use clap::Args;

use super::stdout::{print_json, print_text};
use crate::error::{Error, Result, did_you_mean};
use crate::report::FunctionReport;

#[derive(Debug, Args)]
pub(super) struct FunctionsArgs {
    /// One indicator; all of them if not given
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn print_functions(args: &FunctionsArgs) -> Result<u8> {
    let Some(name) = &args.name else {
        if args.json {
            let functions: Vec<_> =
                windrow_udfs::all_functions().map(FunctionReport::from_entry).collect();
            print_json(&functions)?;
        } else {
            print_text(&format_function_list())?;
        }
        return Ok(0);
    };
    let name = name.to_lowercase();
    let Some(entry) = windrow_udfs::find_function(&name) else {
        let known: Vec<&str> = windrow_udfs::all_functions().map(|e| e.spec.name).collect();
        return Err(Error::query(format!("unknown function {name}")).hint(did_you_mean(
            &name,
            "functions",
            known,
        )));
    };
    if args.json {
        print_json(&FunctionReport::from_entry(entry))?;
    } else {
        print_text(&(windrow_udfs::docs::describe_entry(entry).trim_end().to_string() + "\n"))?;
    }
    Ok(0)
}

/// Lists all indicators by group, one line each.
fn format_function_list() -> String {
    let width = windrow_udfs::all_functions().map(|e| e.spec.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut group = String::new();
    for entry in windrow_udfs::all_functions() {
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
