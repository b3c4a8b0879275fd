//! The cache never answers with rows of other inputs than those that its identity names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rounds;
use super::rows::{Rows, assert_same, read_answer};
use super::stage::Stage;
use crate::support::{Bars, write_parquet};

/// Writes a version of the bars beside the present one, and puts it in its place in one step.
fn replace_bars(stage: &Stage, version: usize) {
    let new = stage.path().join("new.parquet");
    write_parquet(&new, &Bars::new(1, 40).batch("S000", version as u64 + 1));
    std::fs::rename(new, stage.path().join("bars/all.parquet")).unwrap();
}

/// The rows of each version.
fn all_versions(stage: &Stage, count: usize) -> Vec<Rows> {
    let compute = |version| {
        replace_bars(stage, version);
        stage.computed("quick", &[])
    };
    (0..count).map(compute).collect()
}

/// One thread rewrites the source again and again, three ask. Whoever asks after a version was written gets that one
/// or a later one, whole, and each identity stands for one version only.
#[test]
fn rows_are_never_stale() {
    let versions = 5;
    let stage = Stage::new(1, 40, "inputs_check: 0s, workers: 2");
    let rows = all_versions(&stage, versions);
    replace_bars(&stage, 0);
    let server = stage.serve(&[]);
    // The number of the last version that is in place.
    let written = AtomicUsize::new(0);
    let writes = rounds(15, 500);
    let answers = std::thread::scope(|scope| {
        let ask = || {
            let mut seen = Vec::new();
            loop {
                let before = written.load(Ordering::SeqCst);
                if before >= writes {
                    return seen;
                }
                let answer = server.get("/features/S000/quick?wait=60");
                // While the inputs change all the time, an answer may be late.
                if answer.status == 200 {
                    let after = written.load(Ordering::SeqCst) + 1;
                    seen.push((before, after, answer));
                } else {
                    assert!([202, 503].contains(&answer.status), "{}", answer.text());
                }
            }
        };
        let threads = [(); 3].map(|()| scope.spawn(ask));
        for write in 1..=writes {
            std::thread::sleep(std::time::Duration::from_millis(300));
            replace_bars(&stage, write % versions);
            written.store(write, Ordering::SeqCst);
        }
        threads.map(|thread| thread.join().unwrap()).into_iter().flatten().collect::<Vec<_>>()
    });
    assert!(answers.len() > writes / 5, "{} answers", answers.len());
    let mut identities: BTreeMap<String, usize> = BTreeMap::new();
    for (before, after, answer) in &answers {
        let found = read_answer(answer, Some("S000"));
        let version = rows.iter().position(|rows| *rows == found).expect("rows of no version");
        let fresh = (*before..=*after).any(|write| write % versions == version);
        assert!(fresh, "version {version} between the writes {before} and {after}");
        let identity = answer.json()["identity"].as_str().unwrap().to_string();
        assert_eq!(*identities.entry(identity).or_insert(version), version);
    }
    // In the end the last version comes.
    let answer = server.get("/features/S000/quick?wait=60").expect(200);
    assert_same(&read_answer(&answer, Some("S000")), &rows[writes % versions], "the end");
}

/// Other inputs and another definition are other identities; the same again are the same, also after a restart.
#[test]
fn an_identity_is_that_of_definition_and_inputs() {
    let stage = Stage::new(1, 40, "inputs_check: 0s");
    let ask = |server: &super::process::Server| {
        let answer = server.get("/features/S000/quick?wait=60").expect(200);
        answer.header("etag").unwrap().to_string()
    };
    let server = stage.serve(&[]);
    let first = ask(&server);
    assert_eq!(ask(&server), first);
    drop(server);
    let server = stage.serve(&[]);
    assert_eq!(ask(&server), first);
    // It was in the durable tier: no job was needed.
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 1);
    replace_bars(&stage, 7);
    let second = ask(&server);
    assert_ne!(second, first);
    let set = super::stage::QUICK.replace("ROWS 4", "ROWS 5");
    std::fs::write(stage.path().join("quick.sql"), set).unwrap();
    server.send("POST", "/admin/reload", &[], b"").expect(200);
    let third = ask(&server);
    assert!(third != second && third != first);
    let answer = server.get("/features/S000/quick").expect(200);
    assert_same(&read_answer(&answer, Some("S000")), &stage.computed("quick", &[]), "new set");
}
