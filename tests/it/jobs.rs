//! Many runs in one process, by one engine.

use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;
use windrow::Engine;
use windrow::commit::Target;
use windrow::config::Config;
use windrow::engine::{RunOptions, Scope};
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
    let options = RunOptions {
        target: Target::parse(folder.join(format!("{to}{job}")).to_str().unwrap())?,
        scope: Scope::default(),
        params: Default::default(),
        keep_going: false,
        progress: Arc::new(Progress::default()),
        stop,
    };
    engine.run(set, &options).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_side_by_side_give_the_bits_of_each_alone() {
    let folder = prepare();
    let path = folder.path();
    let shared = engine(path).await;
    try_join_all((0..JOBS).map(|job| run(&shared, path, job, "together"))).await.unwrap();
    assert_eq!(shared.tables(), ["bars"], "what a job reads by name is its own");
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
