//! Properties of every indicator: one loop over the tables for each property.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod rows;

use rows::{Column, Random, arrays, assert_same, calls, run, unpack, walk, whole};
use std::collections::HashSet;
use windrow_udfs::{BoundCall, FunctionKind, Memory, ParamKind, all_functions};

/// Returns enough rows for a call to give values for a while.
fn rows_for(bound: &BoundCall) -> usize {
    bound.lookback_rows() + 60
}

#[test]
fn specs_are_whole() {
    let mut names = HashSet::new();
    for entry in all_functions() {
        let spec = &entry.spec;
        let plain = |name: &str| {
            let mut letters = name.chars();
            letters.next().is_some_and(|c| c.is_ascii_lowercase())
                && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        assert!(names.insert(spec.name), "{} is there twice", spec.name);
        let params = spec.params.iter().map(|param| param.name);
        let words = [spec.name].into_iter().chain(spec.inputs.iter().copied()).chain(params);
        for word in words.chain(spec.outputs.iter().copied()) {
            assert!(plain(word), "{}: {word} is not a plain name", spec.name);
        }
        assert!(!spec.title.is_empty() && spec.doc.ends_with('.'), "{}: its words", spec.name);
        assert!(!spec.source.is_empty() && spec.example.is_some(), "{}: its source", spec.name);
        assert!(spec.version > 0);
        for param in spec.params {
            assert!((param.min..=param.max).contains(&param.default), "{}", spec.name);
        }
        assert!(entry.bind_params(&spec.default_params()).is_ok(), "{}", spec.name);
        assert_eq!(windrow_udfs::find_function(spec.name).unwrap().spec.title, spec.title);
    }
    assert_eq!(
        all_functions()
            .filter(|entry| entry.spec.function_kind() == FunctionKind::Indicator)
            .count(),
        218
    );
}

#[test]
fn examples_hold() {
    for entry in all_functions() {
        let example = entry.spec.example.unwrap();
        let inputs = entry.spec.example_inputs();
        let bound = entry.bind_params(example.params).unwrap();
        let got = match entry.spec.function_kind() {
            FunctionKind::Indicator => run(&bound, &whole(&inputs)),
            FunctionKind::CrossSection => {
                unpack(&bound.compute_cross_section(&arrays(&whole(&inputs)), 8).unwrap())
            }
        };
        assert_eq!(got.len(), example.outputs.len());
        for (got, want) in got.iter().zip(example.outputs) {
            assert!(!want.is_empty(), "{}: its example has no values", entry.spec.name);
            for (got, want) in got[got.len() - want.len()..].iter().zip(*want) {
                let near = match got {
                    Some(got) => (got - want).abs() < 1e-5,
                    None => want.is_nan(),
                };
                assert!(near, "{}: {got:?}, expected {want}", entry.spec.name);
            }
        }
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    for entry in all_functions() {
        for (i, param) in entry.spec.params.iter().enumerate() {
            let below = param.min - 1.0 - param.min.abs();
            let mut wrong = vec![f64::NAN, f64::INFINITY, below, param.max * 2.0 + 1.0];
            if param.kind != ParamKind::Real {
                wrong.push(param.default + 0.5);
            }
            for value in wrong {
                let mut params = entry.spec.default_params();
                params[i] = value;
                let message = entry.bind_params(&params).unwrap_err().to_string();
                let words = [entry.spec.name, param.name, "expected"];
                assert!(words.iter().all(|word| message.contains(word)), "{value}: {message}");
            }
        }
    }
    let message =
        windrow_udfs::find_function("rsi").unwrap().bind_params(&[0.0]).unwrap_err().to_string();
    assert!(
        message.contains("rsi: timeperiod is 0, expected a whole number from 2 to 100000"),
        "{message}"
    );
}

#[test]
fn the_first_value_comes_after_exactly_lookback_rows() {
    for bound in calls() {
        let lookback = bound.lookback_rows();
        for output in run(&bound, &whole(&walk(bound.entry, rows_for(&bound), 1))) {
            assert_eq!(output.iter().position(Option::is_some), Some(lookback), "{bound:?}");
            assert!(output[lookback..].iter().all(Option::is_some), "{bound:?} has holes");
        }
        assert!(bound.warmup_rows() >= lookback, "{bound:?}");
    }
}

#[test]
fn a_prefix_of_the_rows_gives_a_prefix_of_the_values() {
    for bound in calls() {
        let columns = whole(&walk(bound.entry, rows_for(&bound), 2));
        let all = run(&bound, &columns);
        for cut in [1, bound.lookback_rows() + 1, bound.lookback_rows() + 23] {
            let prefix = |columns: &[Column]| -> Vec<Column> {
                columns.iter().map(|column| column[..cut].to_vec()).collect()
            };
            assert_same(&bound, "prefix", &run(&bound, &prefix(&columns)), &prefix(&all));
        }
    }
}

#[test]
fn slices_and_saved_states_change_no_bit() {
    let mut random = Random(3);
    for bound in calls() {
        let columns = with_holes(&walk(bound.entry, rows_for(&bound), 3), 0.1, 4);
        let want = run(&bound, &columns);
        let arrays = arrays(&columns);
        let rows = columns[0].len();
        for most in [1, 2, 7, 64] {
            let mut kernel = bound.new_kernel().unwrap();
            let mut output = windrow_udfs::OutputColumns::new(&bound.entry.spec, rows);
            let mut start = 0;
            while start < rows {
                let end = rows.min(start + 1 + (random.next() * f64::from(most)) as usize);
                kernel.append_results(&arrays, start..end, &mut output).unwrap();
                start = end;
                if random.next() < 0.3 {
                    let saved = kernel.save_state().unwrap();
                    kernel = bound.new_kernel().unwrap();
                    kernel.restore_state(&saved).unwrap();
                }
            }
            assert_same(&bound, "slices", &unpack(&output.finish()), &want);
        }
    }
}

/// Returns the columns with holes: each row has, with this likelihood, NULL, NaN or infinity in one input.
fn with_holes(columns: &[Vec<f64>], likelihood: f64, seed: u64) -> Vec<Column> {
    let mut random = Random(seed);
    let mut holed = whole(columns);
    for (row, _) in columns[0].iter().enumerate() {
        if random.next() < likelihood {
            let column = (random.next() * columns.len() as f64) as usize;
            let holes = [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)];
            holed[column][row] = holes[(random.next() * 4.0) as usize];
        }
    }
    holed
}

#[test]
fn rows_that_are_not_valid_are_skipped() {
    for bound in calls() {
        let columns = with_holes(&walk(bound.entry, 2 * rows_for(&bound), 5), 0.3, 6);
        let valid: Vec<usize> = (0..columns[0].len())
            .filter(|row| columns.iter().all(|c| c[*row].is_some_and(f64::is_finite)))
            .collect();
        let pick = |columns: &[Column]| -> Vec<Column> {
            columns.iter().map(|c| valid.iter().map(|row| c[*row]).collect()).collect()
        };
        let got = run(&bound, &columns);
        assert_same(&bound, "holes", &pick(&got), &run(&bound, &pick(&columns)));
        let values = got[0].iter().filter(|value| value.is_some()).count();
        assert!(values <= valid.len(), "{bound:?} gives values for rows that are not valid");
    }
}

#[test]
fn a_window_gives_the_same_bits_wherever_the_series_starts() {
    for bound in calls() {
        if !matches!(bound.call_memory(), Memory::Window | Memory::Pointwise) {
            continue;
        }
        let rows = rows_for(&bound) + 50;
        let mut columns = walk(bound.entry, rows, 7);
        // A history whose rounding would stay in a running sum for ever.
        for column in &mut columns {
            column[3] *= 1e12;
        }
        let columns = whole(&columns);
        let all = run(&bound, &columns);
        for start in [1, 4, 17, 50] {
            let from = |columns: &[Column], start: usize| -> Vec<Column> {
                columns.iter().map(|column| column[start..].to_vec()).collect()
            };
            let got = from(&run(&bound, &from(&columns, start)), bound.lookback_rows());
            assert_same(&bound, "start", &got, &from(&all, start + bound.lookback_rows()));
        }
    }
}

#[test]
fn what_forgets_has_forgotten_after_its_warm_up() {
    for bound in calls().iter().filter(|bound| bound.call_memory() == Memory::Recursive) {
        let (early, warmup) = (200, bound.warmup_rows());
        let columns = whole(&walk(bound.entry, early + warmup + 20, 8));
        let late: Vec<Column> = columns.iter().map(|column| column[early..].to_vec()).collect();
        let (all, late) = (run(bound, &columns), run(bound, &late));
        for (all, late) in all.iter().zip(&late) {
            for (all, late) in all[early + warmup..].iter().zip(&late[warmup..]) {
                let (all, late) = (all.unwrap(), late.unwrap());
                let near = (all - late).abs() <= 1e-9 * all.abs().max(1e-3);
                assert!(near, "{bound:?}: {late} after {warmup} rows, {all} after more");
            }
        }
    }
}

#[test]
fn extreme_rows_neither_panic_nor_poison_the_rows_after_them() {
    let values =
        [0.0, -1.0, 1e-300, 1e300, -1e300, f64::MAX, f64::MIN, 5e-324, f64::NAN, f64::INFINITY];
    for bound in calls() {
        let inputs = bound.entry.spec.inputs.len();
        for value in values {
            for rows in [0, 1, bound.lookback_rows() + 3] {
                run(&bound, &vec![vec![Some(value); rows]; inputs]);
            }
        }
        run(&bound, &vec![vec![None; bound.lookback_rows() + 3]; inputs]);

        // Extremes among ordinary rows: a cumulative total may keep one, and every other function
        // must recover.
        let mut random = Random(9);
        let ordinary = walk(bound.entry, 2 * rows_for(&bound) + 10, 9);
        let mut columns = ordinary.clone();
        for row in 0..30 {
            for column in &mut columns {
                column[row] = values[(random.next() * values.len() as f64) as usize];
            }
        }
        for output in run(&bound, &whole(&columns)) {
            let last = &output[output.len() - 10..];
            assert!(last.iter().all(Option::is_some), "{bound:?} is poisoned: {last:?}");
        }
    }
}

#[test]
fn a_flat_market_gives_finite_values() {
    for bound in calls() {
        let inputs = bound.entry.spec.inputs.len();
        for price in [0.0, 0.1, 10.1, 3e7 + 0.1] {
            // Means that are weighted by volume have no value where nothing was traded, and tails none where
            // nothing moved.
            let name = bound.entry.spec.name;
            if price == 0.0 && ["vwma", "rvol"].contains(&name) || name == "kurtosis" {
                continue;
            }
            for output in run(&bound, &vec![vec![Some(price); bound.lookback_rows() + 40]; inputs])
            {
                let late = &output[bound.lookback_rows()..];
                assert!(late.iter().all(Option::is_some), "{bound:?} at {price}: {late:?}");
            }
        }
    }
}

#[test]
fn a_wrong_state_is_refused() {
    let bind = |name: &str, params: &[f64]| {
        windrow_udfs::find_function(name).unwrap().bind_params(params).unwrap()
    };
    let saved = bind("ema", &[5.0]).new_kernel().unwrap().save_state().unwrap();
    let restore = |bound: BoundCall, bytes: &[u8]| {
        bound.new_kernel().unwrap().restore_state(bytes).map_err(|error| error.to_string())
    };
    assert!(restore(bind("ema", &[5.0]), &saved).is_ok());
    let other = restore(bind("ema", &[6.0]), &saved).unwrap_err();
    assert!(other.contains("ema version 1 with parameters [5.0]"), "{other}");
    assert!(restore(bind("rma", &[5.0]), &saved).unwrap_err().contains("saved state is of ema"));
    for cut in 0..saved.len() {
        assert!(restore(bind("ema", &[5.0]), &saved[..cut]).unwrap_err().contains("damaged"));
        let mut damaged = saved.clone();
        damaged[cut] ^= 1;
        assert!(restore(bind("ema", &[5.0]), &damaged).unwrap_err().contains("damaged"));
    }
}

#[test]
fn long_windows_are_not_quadratic_and_stay_exact() {
    // 100,000 rows of window over 200,000 rows: quadratic work would take minutes.
    for name in ["sma", "wma", "max", "stddev", "linearreg_slope", "sum", "mom"] {
        let entry = windrow_udfs::find_function(name).unwrap();
        let mut params = entry.spec.default_params();
        params[0] = 100_000.0;
        let bound = entry.bind_params(&params).unwrap();
        let columns = whole(&walk(entry, 120_000, 10));
        let all = run(&bound, &columns);
        let late: Vec<Column> = columns.iter().map(|column| column[777..].to_vec()).collect();
        let late = run(&bound, &late);
        assert_eq!(all[0][119_999].map(f64::to_bits), late[0][119_999 - 777].map(f64::to_bits));
        assert!(bound.new_kernel().unwrap().state_bytes() > 100_000 * 8);
    }
}
