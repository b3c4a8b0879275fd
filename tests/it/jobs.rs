//! Many runs in one process, by one engine.

use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;
use windrow::Engine;
use windrow::commit::Target;
use windrow::config::Config;
use windrow::engine::{Job, RunOptions, Scope};
use windrow::feature_set::SetText;
use windrow::stop::Stopper;
use windrow::write::Progress;

use super::support::{Bars, plain_read};

/// Jobs that are at work at the same time.
const JOBS: usize = 32;

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Bars::new(8, 400).write(&path.join("bars.parquet"));
    // Sets of one name beside each of them, which the others read.
    for job in 0..JOBS {
        let team = path.join(format!("team{job}"));
        std::fs::create_dir(&team).unwrap();
        let n = job + 2;
        let base = format!(
            "SELECT symbol, ts, sma(close, {n}) OVER w AS s, rsi(close, {n}) OVER w AS r FROM bars \
             WINDOW w AS (PARTITION BY symbol ORDER BY ts)"
        );
        std::fs::write(team.join("base.sql"), base).unwrap();
        let top = "SELECT symbol, ts, s, r, cs_rank(r) OVER (PARTITION BY ts) AS k FROM base";
        std::fs::write(team.join("top.sql"), top).unwrap();
    }
    folder
}

async fn engine(folder: &Path) -> Engine {
    let config =
        Config { parallel_workers: 4, memory_limit: Some(4_000_000_000), ..Config::default() };
    let mut engine = Engine::new(config).unwrap();
    engine.add_source("bars", folder.join("bars.parquet").to_str().unwrap()).await.unwrap();
    engine
}

async fn run(engine: &Engine, folder: &Path, job: usize, to: &str) -> windrow::error::Result<()> {
    let set = folder.join(format!("team{job}/top.sql"));
    let set = engine.find_set(set.to_str().unwrap())?;
    let (_keep, stop) = Stopper::new();
    let options =
        RunOptions::new(Target::parse(folder.join(format!("{to}{job}")).to_str().unwrap())?, stop);
    engine.run(set, &options).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_side_by_side_give_the_bits_of_each_alone() {
    let folder = prepare();
    let path = folder.path();
    let shared = engine(path).await;
    try_join_all((0..JOBS).map(|job| run(&shared, path, job, "together"))).await.unwrap();
    assert_eq!(shared.list_tables(), ["bars"], "what a job reads by name is its own");
    for job in 0..JOBS {
        run(&engine(path).await, path, job, "alone").await.unwrap();
        let read = |to: &str| plain_read(&path.join(format!("{to}{job}"))).unwrap().unwrap();
        let (together, alone) = (read("together"), read("alone"));
        assert_eq!(alone.num_rows(), 8 * 400);
        assert_eq!(together, alone, "job {job}");
    }
}

#[test]
fn an_engine_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_went_through_bytes_gives_the_same_plan_and_bits() {
    let folder = prepare();
    let path = folder.path();
    let here = engine(path).await;
    let set = here.find_set(path.join("team3/top.sql").to_str().unwrap()).unwrap();
    let (_keep, stop) = Stopper::new();
    let target = |name: &str| Target::parse(path.join(name).to_str().unwrap()).unwrap();
    let options = |name: &str| RunOptions {
        scope: Scope { symbols: Some(vec!["S001".into(), "S006".into()]), ..Scope::default() },
        ..RunOptions::new(target(name), stop.clone())
    };
    let job = here.build_job(&set, &options("there")).await.unwrap();
    let bytes = serde_json::to_vec(&job).unwrap();
    let shown = |engine: &Engine, planned: &windrow::engine::PlannedSet| {
        (engine.definition_fingerprint(planned), engine.column_identities(planned).unwrap())
    };
    let planned = here.plan_set(set.clone(), &Default::default()).await.unwrap();
    let physical = here.physical_plan(&planned).await.unwrap();
    let expected = (
        shown(&here, &planned),
        datafusion::physical_plan::displayable(physical.as_ref()).indent(true).to_string(),
    );
    here.run(set, &options("here")).await.unwrap();

    // Elsewhere none of the files of sets are there, nor the settings.
    for team in 0..JOBS {
        std::fs::remove_dir_all(path.join(format!("team{team}"))).unwrap();
    }
    let job: Job = serde_json::from_slice(&bytes).unwrap();
    let local = Config { parallel_workers: 1, batch_size: 1024, ..Config::default() };
    let there = Engine::open_for_job(&job, &local).await.unwrap();
    let set = job.feature_set().unwrap();
    let planned = there.plan_set(set.clone(), &job.params).await.unwrap();
    let physical = there.physical_plan(&planned).await.unwrap();
    let found = (
        shown(&there, &planned),
        datafusion::physical_plan::displayable(physical.as_ref()).indent(true).to_string(),
    );
    assert_eq!(found, expected);
    let progress = Arc::new(Progress::default());
    there.run(set, &job.run_options(&local, progress, stop.clone()).unwrap()).await.unwrap();
    let read = |to: &str| plain_read(&path.join(to)).unwrap().unwrap();
    assert_eq!(read("there"), read("here"));
    assert_eq!(read("here").num_rows(), 2 * 400);

    // Messages still name the file as it was written.
    let text = job.set.text.replace("cs_rank(r)", "cs_rank(nothing)");
    let wrong = Job { set: SetText { text, ..job.set.clone() }, ..job.clone() };
    let error = there.plan_set(wrong.feature_set().unwrap(), &job.params).await.err().unwrap();
    assert!(error.to_string().contains("team3/top.sql:1:"), "{error}");
    // Another version would give other bits.
    let other = Job { versions: [("windrow".to_string(), "9".to_string())].into(), ..job.clone() };
    let error = Engine::open_for_job(&other, &local).await.err().unwrap().to_string();
    assert!(error.contains("the job was made for windrow 9"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_carries_no_secret() {
    let folder = prepare();
    let path = folder.path();
    let here = engine(path).await;
    let set = here.find_set(path.join("team3/top.sql").to_str().unwrap()).unwrap();
    let (_keep, stop) = Stopper::new();
    let secret = "postgres://u:verysecret@localhost/d?table=t";
    let options = RunOptions::new(Target::parse(secret).unwrap(), stop.clone());
    let job = here.build_job(&set, &options).await.unwrap();
    let text = serde_json::to_string(&job).unwrap();
    assert!(!text.contains("verysecret"), "{text}");
    // Where the job runs the secret is known.
    let targets = [("t".to_string(), secret.to_string())].into();
    let local = Config { targets, ..Config::default() };
    let told = |local: &Config| {
        job.run_options(local, Arc::new(Progress::default()), stop.clone())
            .unwrap()
            .target
            .location()
    };
    assert_eq!(told(&local), secret);
    assert_eq!(told(&Config::default()), secret.replace(":verysecret", ""));
}
