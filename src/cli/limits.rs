//! `windrow limits`: lists every bound.

use clap::Args;

use super::stdout::{print_json, print_text};
use crate::error::Result;
use crate::limits;
use crate::report::LimitReport;

#[derive(Debug, Args)]
pub(super) struct LimitsArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn print_limits(args: &LimitsArgs) -> Result<u8> {
    let limits: Vec<LimitReport> =
        limits::all_limits().into_iter().map(LimitReport::from).collect();
    if args.json {
        print_json(&limits)?;
    } else {
        print_text(&format_limit_list(&limits))?;
    }
    Ok(0)
}

/// Formats the bounds by group: for each its value, what it bounds, and what happens past it.
fn format_limit_list(limits: &[LimitReport]) -> String {
    let widest = |text: fn(&LimitReport) -> &str| {
        limits.iter().map(|limit| text(limit).chars().count()).max().unwrap_or(0)
    };
    let (name, value) = (widest(|limit| &limit.name), widest(|limit| &limit.value));
    let mut out = String::new();
    let mut group = "";
    for limit in limits {
        if limit.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            group = &limit.group;
            out += &format!("{gap}{group}\n");
        }
        out += &format!("  {:name$}  {:>value$}  {}\n", limit.name, limit.value, limit.bounds);
        out += &format!("  {:name$}  {:>value$}  Past it: {}\n", "", "", limit.past);
    }
    out
}
