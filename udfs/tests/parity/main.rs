//! Parity with TA-Lib: one loop over the catalogue of its own crate compares every function, every output and every
//! row, at the defaults and at drawn parameters.
//!
//! `PARITY_DRAWS` sets the number of drawn parameters per function and series. `PARITY_ONLY=rsi,ema` looks at some
//! functions only.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod catalogue;
mod compare;
mod condition;
mod double;
mod exact;
mod missing;
#[path = "../rows/mod.rs"]
mod rows;
mod scalars;
mod series;

use catalogue::{TaCall, draw_params};
use compare::Tally;
use rows::Random;
use series::{Bars, all_series, pattern_bars};
use std::sync::atomic::{AtomicUsize, Ordering};
use ta_lib::RetCode;
use ta_lib::abstract_api::{FuncInfo, funcs};
use windrow_udfs::{Entry, Group};

/// Drawn parameters per function and series, beside the defaults and the smallest values.
fn draws() -> usize {
    std::env::var("PARITY_DRAWS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

fn shared_functions() -> Vec<(&'static FuncInfo, &'static Entry)> {
    let only = std::env::var("PARITY_ONLY").ok();
    let wanted =
        |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    funcs()
        .filter_map(|info| {
            let name = info.name.to_lowercase();
            windrow_udfs::find_function(&name).filter(|_| wanted(&name)).map(|entry| (info, entry))
        })
        .collect()
}

#[test]
fn the_list_of_missing_functions_only_shrinks() {
    for info in funcs() {
        let name = info.name.to_lowercase();
        let listed = missing::FUNCTIONS.contains(&name.as_str());
        let scalar = missing::SCALARS.contains(&name.as_str());
        let here = windrow_udfs::find_function(&name).is_some();
        assert!(!(listed && here), "{name} exists: take it off the list of missing functions");
        assert!(listed || here || scalar, "{name} is in TA-Lib's catalogue and not here");
    }
    for name in missing::FUNCTIONS {
        let known = funcs().any(|info| info.name.eq_ignore_ascii_case(name));
        assert!(known, "{name} is listed as missing and TA-Lib has no such function");
    }
}

#[test]
fn names_defaults_and_ranges_are_those_of_the_catalogue() {
    let wrong: Vec<String> = shared_functions()
        .into_iter()
        .flat_map(|(info, entry)| catalogue::spec_differences(info, &entry.spec))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_agrees_on_every_row() {
    let functions = shared_functions();
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let (mut tally, mut series) = (Tally::default(), all_series());
                    let walks = series.len();
                    series.push(pattern_bars());
                    while let Some((info, entry)) =
                        functions.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let all = entry.spec.group == Group::Pattern;
                        let series = if all { &series } else { &series[..walks] };
                        compare_function(info, entry, series, &mut tally);
                    }
                    tally
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let tally = tallies.into_iter().fold(Tally::default(), Tally::join_tally);
    println!("{}", tally.report());
    assert!(tally.failures.is_empty(), "{}", tally.failure_report());
    for (_, entry) in functions.iter().filter(|(_, entry)| entry.spec.group == Group::Pattern) {
        let name = entry.spec.name;
        assert!(tally.signals.contains(name), "{name} gave no signal on any series");
    }
}

fn compare_function(info: &FuncInfo, entry: &'static Entry, series: &[Bars], tally: &mut Tally) {
    let mut random =
        Random(info.name.bytes().fold(1, |seed, b| seed.wrapping_mul(31) + u64::from(b)));
    for bars in series {
        for draw in 0..draws() + 2 {
            let params = draw_params(info, draw, &mut random);
            let columns = bars.inputs_of(&entry.spec);
            let call = TaCall::new(info, &params);
            match (entry.bind_params(&params), call.run(&columns)) {
                (Ok(bound), Ok(want)) => {
                    compare::compare_call(&bound, &call, bars, (&columns, &want), tally);
                }
                // Parameters that do not fit together are refused by both.
                (Err(_), Err(RetCode::BadParam)) => {}
                (bound, want) => tally.fail(
                    info.name,
                    format!("{params:?}: we say {:?}, TA-Lib {:?}", bound.err(), want.err()),
                ),
            }
        }
    }
}
