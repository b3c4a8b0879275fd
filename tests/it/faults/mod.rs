//! Every single fault, in order: the Nth call of a command to what lies outside fails, for every N, in every way.
//! `windrow::outside` counts calls to files, the object store of the tests counts requests, and a proxy counts what is
//! sent to PostgreSQL.
//!
//! What must hold then, whatever failed:
//! 1. A reader that knows nothing of windrow finds one committed state, the one before or the one after.
//! 2. The record tells of just that state: its files are there, its rows are counted, per symbol too.
//! 3. A command that says it is done has committed; one that fails, and was not killed, has left all as it was.
//! 4. The same command, once more, succeeds with nothing cleaned by hand, and gives the state after.
//! 5. Then nothing is left: no file, upload or table but those of the state.
//!
//! A failure prints `command into kind: call N (...), fault`, and `WINDROW_FAULT_AT=N` tries that call alone.
//! `WINDROW_FAULTS=all` tries every kind of fault at every call, and so many pairs as `WINDROW_PAIRS` says, chosen by
//! `WINDROW_SEED`: `tests/long.sh` does.

mod bucket;
mod commands;
mod local;
mod table;

use std::time::Duration;

use tokio::runtime::Runtime;
use windrow::outside::faults::FileFault;
use windrow::store::Record;

use commands::{Rows, Scene, check_record};

/// One kind of target, with what can fail on the way to it.
trait Place {
    /// What is done, and where.
    fn scene(&self) -> &Scene;

    /// Makes everything as it is before the command.
    fn prepare(&self, runtime: &Runtime);

    /// Lets calls fail from now on.
    fn arm(&self, faults: Vec<(u64, FileFault)>);

    /// Whether the process counts as killed.
    fn is_dead(&self) -> bool;

    /// Lets nothing fail any more; the calls since [`Place::arm`].
    fn disarm(&self) -> Vec<String>;

    /// The rows that a reader finds who knows nothing of windrow.
    fn read(&self) -> Result<Rows, String>;

    /// Whether a record tells of just these rows.
    fn check(&self, record: Option<&Record>, rows: &Rows) -> Result<(), String> {
        check_record(record, rows)
    }

    /// What is there and belongs to no state.
    fn left(&self, record: &Record) -> Vec<String>;

    /// Faults at this call that can differ from those at others; with a server, which takes its time, those of a
    /// call in turn, unless [`all`] are asked for.
    fn faults(&self, number: u64, call: &str) -> Vec<FileFault>;
}

/// Whether all kinds of faults are tried at all calls, or those that can differ.
fn all() -> bool {
    std::env::var("WINDROW_FAULTS").is_ok_and(|which| which == "all")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Tries a command with some faults, and looks at what is there then; gives the calls that it made.
fn attempt(place: &dyn Place, faults: Vec<(u64, FileFault)>) -> Result<Vec<String>, String> {
    let told = |error: windrow::error::Error| error.to_string();
    let runtime = windrow::engine::executor::compute(1).map_err(told)?;
    let scene = place.scene();
    place.prepare(&runtime);
    let [before, after] = scene.expected();
    if place.read()? != before {
        return Err("it was not as expected from the beginning".into());
    }
    place.arm(faults);
    let dead = async {
        while !place.is_dead() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // Who is killed says nothing.
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = tokio::time::timeout(Duration::from_secs(60), scene.act()) => Some(done),
            () = dead => None,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let is_dead = place.is_dead();
    let log = place.disarm();
    let done = match done {
        Some(Err(_)) => return Err("it did not end".into()),
        Some(Ok(done)) => Some(done),
        None => None,
    };
    let found = place.read()?;
    if found != before && found != after {
        return Err(format!("neither state is there, after {done:?}: {found:?}"));
    }
    match &done {
        Some(Ok(())) if found != after => {
            return Err("it is done, and its state is not there".into());
        }
        Some(Err(error)) if !is_dead => {
            let told = error.to_string();
            let knows = !told.contains("nobody knows whether the run is committed");
            if found != before && before != after && knows {
                return Err(format!("it failed and committed: {told}"));
            }
            if told.contains("bug in windrow") || told.contains("panicked") {
                return Err(told);
            }
        }
        _ => {}
    }
    let runtime = windrow::engine::executor::compute(1).map_err(told)?;
    let record =
        runtime.block_on(scene.record()).map_err(|error| format!("the record: {error}"))?;
    place.check(record.as_ref(), &found)?;
    let healed = runtime.block_on(async {
        // A server needs a moment to see that its client is gone.
        for _ in 0..40 {
            match scene.heal().await {
                Err(error) if error.to_string().contains("another run is writing") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                done => return done,
            }
        }
        scene.heal().await
    });
    healed.map_err(|error| format!("it does not heal: {error}"))?;
    let healed = place.read()?;
    if healed != after {
        return Err(format!("it did not heal: {healed:?}"));
    }
    let record = runtime.block_on(scene.record()).map_err(told)?.ok_or("no record, healed")?;
    place.check(Some(&record), &healed)?;
    let mut left = place.left(&record);
    if !left.is_empty() {
        // A part that was on its way when its upload was aborted comes after that: the next run removes it.
        runtime
            .block_on(scene.heal())
            .map_err(|error| format!("it does not heal twice: {error}"))?;
        let record = runtime.block_on(scene.record()).map_err(told)?.ok_or("no record, healed")?;
        left = place.left(&record);
    }
    if !left.is_empty() {
        return Err(format!("it left {left:?}"));
    }
    Ok(log)
}

/// Every call of a command, each in turn with every kind of fault; then pairs of faults.
fn every_call(place: &dyn Place, what: &str) {
    let only = number("WINDROW_FAULT_AT");
    let calls = attempt(place, Vec::new()).unwrap();
    let (mut faults, mut wrong) = (0, Vec::new());
    let mut try_faults = |planned: Vec<(u64, FileFault)>| {
        faults += 1;
        let told = planned.iter().map(|(number, fault)| {
            let call = calls.get(*number as usize - 1).map_or("", String::as_str);
            format!("call {number} ({call}), {fault:?}")
        });
        let told = told.collect::<Vec<_>>().join(" and ");
        if let Err(why) = attempt(place, planned) {
            wrong.push(format!("{what}: {told}: {why}"));
        }
    };
    for (number, call) in (1..).zip(&calls).filter(|(number, _)| only.is_none_or(|o| o == *number))
    {
        for fault in place.faults(number, call) {
            try_faults(vec![(number, fault)]);
        }
    }
    let mut random = fastrand::Rng::with_seed(number("WINDROW_SEED").unwrap_or(1));
    for _ in 0..number("WINDROW_PAIRS").unwrap_or(0) {
        let mut fault = || FileFault::ALL[random.usize(..FileFault::ALL.len())];
        let kinds = [fault(), fault()];
        let first = random.u64(1..=calls.len() as u64);
        let second = random.u64(first..=calls.len() as u64 + 10);
        try_faults(vec![(first, kinds[0]), (second + 1, kinds[1])]);
    }
    eprintln!("{what}: {} calls, {faults} faults", calls.len());
    assert!(wrong.is_empty(), "{} of {faults}:\n{}", wrong.len(), wrong.join("\n"));
}
