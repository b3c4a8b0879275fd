//! COPY writes aside, takes nothing's place and stays out of targets and sources; a target with files that no run
//! wrote is not read.

use std::path::Path;

use super::support::{Bars, fails, ok, rows, windrow};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(2, 5).write(&folder.path().join("bars/all.parquet"));
    std::fs::write(folder.path().join("s.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    ok(folder.path(), &["run", "s.sql", "--source", "bars=bars", "--to", "out"]);
    folder
}

fn copy(statement: &str) -> Vec<&str> {
    vec!["sql", statement, "--source", "bars=bars", "--write"]
}

/// What COPY left aside.
fn aside(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".windrow-copy-")).count()
}

#[test]
fn copy_stays_out_of_targets_and_sources() {
    let folder = prepare();
    let folder = folder.path();
    let cases = [
        ("COPY bars TO 'out/x.parquet'", "out/x.parquet lies in a target of windrow"),
        ("COPY bars TO '.out.windrow-records/9.json'", "lies in a target of windrow"),
        ("COPY bars TO 'bars/b.parquet'", "bars/b.parquet lies in a source of this session"),
        ("COPY bars TO 'g*.csv'", "a name with *, ? or [ is a glob"),
        ("COPY bars TO 's.sql' STORED AS CSV", "s.sql is there already"),
    ];
    for (statement, expected) in cases {
        let (_, told) = fails(folder, &copy(statement));
        assert!(told.contains(expected), "{statement}: {told}");
    }
    ok(folder, &copy("COPY bars TO 'new.parquet'"));
    ok(folder, &copy("COPY bars TO 'more/' STORED AS PARQUET"));
    for source in ["f=new.parquet", "f=more"] {
        assert_eq!(rows(folder, "SELECT count(*) FROM f", &[source]), ["10"]);
    }
    assert_eq!(aside(folder), 0);
}

#[test]
fn a_copy_that_fails_or_is_killed_leaves_no_part() {
    let folder = prepare();
    let folder = folder.path();
    let wrong = "COPY (SELECT CAST(CASE WHEN value = 90000 THEN 'x' ELSE '1' END AS INT) AS a \
        FROM generate_series(1, 100000)) TO 'part.csv'";
    fails(folder, &copy(wrong));
    assert!(!folder.join("part.csv").exists());
    assert_eq!(aside(folder), 0);
    // What a killed one leaves, the next one removes.
    let endless = "COPY (SELECT * FROM generate_series(1, 100000000000)) TO 'long.csv'";
    let mut child = windrow(folder).args(copy(endless)).spawn().unwrap();
    while aside(folder) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(aside(folder) > 0 && !folder.join("long.csv").exists());
    ok(folder, &copy("COPY bars TO 'next.csv'"));
    assert_eq!(aside(folder), 0);
}

#[test]
fn a_target_with_files_that_no_run_wrote_is_not_read() {
    let folder = prepare();
    let folder = folder.path();
    std::fs::copy(folder.join("bars/all.parquet"), folder.join("out/x.parquet")).unwrap();
    let (_, told) = fails(folder, &["sql", "SELECT count(*) FROM f", "--source", "f=out"]);
    assert!(
        told.contains("out holds files that windrow did not write, such as out/x.parquet"),
        "{told}"
    );
    std::fs::remove_file(folder.join("out/x.parquet")).unwrap();
    assert_eq!(rows(folder, "SELECT count(*) FROM f", &["f=out"]), ["10"]);
}

#[test]
fn links_that_lead_in_circles_end() {
    let folder = prepare();
    let folder = folder.path();
    let two = folder.join("two");
    std::fs::create_dir(&two).unwrap();
    for link in ["a", "b"] {
        std::os::unix::fs::symlink(".", two.join(link)).unwrap();
    }
    std::fs::copy(folder.join("s.sql"), two.join("s.sql")).unwrap();
    std::fs::copy(folder.join("bars/all.parquet"), two.join("all.parquet")).unwrap();
    let checked = windrow(folder).args(["check", "two"]).output().unwrap();
    let told = String::from_utf8(checked.stderr).unwrap();
    assert!(told.contains("1 feature set checked, 0 findings"), "{told}");
    for source in ["f=two/**/*.parquet", "f=two/**"] {
        assert_eq!(rows(folder, "SELECT count(*) FROM f", &[source]), ["10"], "{source}");
    }
}

#[test]
fn a_time_beyond_the_calendar_is_written_nowhere() {
    use datafusion::arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray};
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let columns: [(&str, ArrayRef); 3] = [
        ("symbol", std::sync::Arc::new(StringArray::from(vec!["A", "B"]))),
        ("ts", std::sync::Arc::new(Date32Array::from(vec![1, 2]))),
        ("d", std::sync::Arc::new(Date32Array::from(vec![i32::MAX, 0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    super::support::write_parquet(&folder.join("far.parquet"), &batch);
    let set = "/*\npartition_by: [d]\n*/\nSELECT symbol, ts, d, 1 AS x FROM bars";
    std::fs::write(folder.join("p.sql"), set).unwrap();
    std::fs::write(folder.join("s.sql"), "SELECT symbol, ts, d FROM bars").unwrap();
    for (set, target) in [("p.sql", "out"), ("s.sql", "out.csv")] {
        let (_, told) =
            fails(folder, &["run", set, "--source", "bars=far.parquet", "--to", target]);
        assert!(told.contains("2147483647") && !told.contains("ERROR"), "{told}");
        assert!(!folder.join(target).exists());
    }
    for format in ["table", "csv", "json", "markdown"] {
        let words = ["sql", "SELECT d FROM f", "--source", "f=far.parquet", "--format", format];
        let (_, told) = fails(folder, &words);
        assert!(told.contains("d holds a time beyond the calendar"), "{format}: {told}");
    }
}
