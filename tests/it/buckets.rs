//! Object stores as sources and as targets, against an S3 server that is made to fail.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::kill::{SET, args};
use super::store::{Fate, Store, Web};
use super::support::{Bars, fails, ok, rows, run, run_json, symbol_of, windrow, write_parquet};

mod commits;
mod faults;
mod file_cache;
mod sources;

const TARGET: &str = "s3://bucket/f/";

fn prepare(store: &Store) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(5, 120).write(&folder.path().join("bars/all.parquet"));
    std::fs::write(folder.path().join("set.sql"), SET).unwrap();
    std::fs::write(folder.path().join("windrow.yaml"), store.yaml()).unwrap();
    folder
}

fn run_state(folder: &Path, state: usize) {
    let args = args(state, TARGET);
    ok(folder, &args.iter().map(String::as_str).collect::<Vec<_>>());
}

/// All rows of a source, in order.
fn all(folder: &Path, location: &str) -> Vec<String> {
    let source = format!("f={location}");
    rows(folder, "SELECT * FROM f ORDER BY symbol, ts", &[&source])
}

/// The state that the target holds, if it is whole; None if there is none.
fn state(folder: &Path) -> Option<usize> {
    let words = ["sql", "SELECT state, count(*) FROM f GROUP BY state", "--source"];
    let done = run(folder, &[&words[..], &["f=s3://bucket/f/", "--format", "csv"]].concat());
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    if told.contains("holds no parquet") {
        return None;
    }
    assert!(done.status.success(), "{told}");
    let text = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (state, count) = lines[0].split_once(',').unwrap();
    assert_eq!(count, "600", "a part of a state");
    Some(state.parse::<f64>().unwrap() as usize)
}

/// Data files, records and whatever else there is below the target.
fn counts(store: &Store) -> [usize; 3] {
    let keys = store.keys("f");
    let count = |is: &dyn Fn(&String) -> bool| keys.iter().filter(|key| is(key)).count();
    let data = count(&|key| key.ends_with(".parquet"));
    let records = count(&|key| key.starts_with("f/_windrow/") && key.ends_with(".json"));
    // The first one marks the target.
    [data, records.saturating_sub(1), keys.len() - data - records]
}

#[test]
fn a_run_into_a_bucket_is_what_it_is_in_a_directory() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    ok(folder, &["run", "set.sql", "--source", "bars=bars", "--to", "local"]);
    let told = run_json(folder, &["run", "set.sql", "--source", "bars=bars", "--to", TARGET]);
    assert_eq!((told["rows"].as_u64(), told["retries"].as_u64()), (Some(600), Some(0)));
    assert_eq!(all(folder, "s3://bucket/f"), all(folder, "local"));
    assert_eq!((counts(&store), store.uploads()), ([3, 1, 0], 0));
    // The next one takes its place.
    run_state(folder, 7);
    assert_eq!(state(folder), Some(7));
    assert_eq!((counts(&store), store.uploads()), ([3, 2, 0], 0));
    let table = ok(folder, &["runs", TARGET]);
    assert_eq!(table.matches(" 600 ").count(), 2, "{table}");
    // A scope that leaves rows out, and an empty one.
    let words = ["run", "set.sql", "--source", "bars=bars", "--to", TARGET, "--symbols"];
    let (_, told) = fails(folder, &[&words[..], &["S001"]].concat());
    assert!(told.contains("s3://bucket/f holds rows outside the scope of this run"), "{told}");
    let (_, told) = fails(folder, &[&words[..], &["NONE"]].concat());
    assert!(told.contains("s3://bucket/f holds rows outside"), "{told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(7), [3, 2, 0], 0));
    // An audit that fails leaves nothing.
    let set = SET.replace("params", "audits: [rsi_14 < 60]\nparams");
    std::fs::write(folder.join("audited.sql"), set).unwrap();
    let audited = ["run", "audited.sql", "--source", "bars=bars", "--to", TARGET, "--replace"];
    let (_, told) = fails(folder, &audited);
    assert!(told.contains("audit failed"), "{told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(7), [3, 2, 0], 0));
}

#[test]
fn what_is_no_target() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    Bars::new(2, 10).write(&store.bucket().join("theirs/bars.parquet"));
    let told = |target: &str| {
        fails(folder, &["run", "set.sql", "--source", "bars=bars", "--to", target]).1
    };
    let theirs = told("s3://bucket/theirs");
    assert!(
        theirs.contains("holds files that windrow did not write, such as bars.parquet"),
        "{theirs}"
    );
    assert!(told("s3://bucket").contains("s3://bucket/ is a whole bucket; name a prefix"));
    assert!(told("s3://bucket/x.parquet").contains("is one file"));
    assert!(told("https://host/x.csv").contains("is on a web server, which takes no files"));
    assert!(
        told("s3://nobody/x").contains("no credentials")
            || told("s3://nobody/x").contains("nobody")
    );
    // No run may remove or double what it reads.
    ok(folder, &["compact", "bars", "s3://bucket/bars"]);
    for target in ["s3://bucket/bars", "s3://bucket/bars/below"] {
        let words = ["run", "set.sql", "--source", "bars=s3://bucket/bars", "--to", target];
        let (_, told) = fails(folder, &words);
        assert!(told.contains("lies in the source bars"), "{told}");
    }
    assert_eq!(store.keys("bars").len(), 5);
}

#[test]
fn credentials_come_from_the_environment_and_from_profiles() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", store.port());
    let aws = folder.join("home/.aws");
    std::fs::create_dir_all(&aws).unwrap();
    let config = format!(
        "[profile research]\nregion = eu-north-1\nendpoint_url = {endpoint}\n[default]\nregion = x\n"
    );
    std::fs::write(aws.join("config"), config).unwrap();
    std::fs::write(
        aws.join("credentials"),
        "[research]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n[empty]\nsso_start_url = x\n",
    )
    .unwrap();
    let with = |env: &[(&str, &str)]| {
        let mut command = windrow(folder);
        command
            .args(args(1, TARGET))
            .env("HOME", folder.join("home"))
            .env("AWS_ALLOW_HTTP", "true");
        command.envs(env.iter().copied()).env("AWS_EC2_METADATA_DISABLED", "true");
        let done = command.output().unwrap();
        (done.status.success(), String::from_utf8(done.stderr).unwrap())
    };
    let plain = [
        ("AWS_ACCESS_KEY_ID", "KEY"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
    ];
    let (fine, told) = with(&plain);
    assert!(fine, "{told}");
    let (fine, told) = with(&[("AWS_PROFILE", "research")]);
    assert!(fine, "{told}");
    let (fine, told) = with(&[("AWS_PROFILE", "empty")]);
    assert!(
        !fine && told.contains("the profile empty signs in at a web page, which is not supported"),
        "{told}"
    );
    let (fine, told) = with(&[("AWS_PROFILE", "nobody")]);
    assert!(!fine && told.contains("there is no profile nobody in ~/.aws"), "{told}");
}

#[test]
fn a_dot_is_a_part_of_a_name() {
    use datafusion::arrow::record_batch::RecordBatch;
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let bars = Bars::new(3, 50).all();
    let schema = bars.schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "close" => ("bid.px".to_string(), Arc::clone(bars.column_by_name("close").unwrap())),
        name => (name.to_string(), Arc::clone(bars.column_by_name(name).unwrap())),
    });
    let batch = RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap();
    write_parquet(&folder.join("dots/x.parquet"), &batch);
    write_parquet(&store.bucket().join("dots/x.parquet"), &batch);
    for source in ["f=dots", "f=s3://bucket/dots"] {
        let sql = r#"SELECT count("bid.px"), count(*) FROM f WHERE ts >= DATE '2000-01-01'"#;
        assert_eq!(rows(folder, sql, &[source]), ["150,150"], "{source}");
        assert_eq!(
            rows(folder, r#"SELECT count("bid.px") FROM f"#, &[source]),
            ["150"],
            "{source}"
        );
    }
}

#[test]
fn targets_do_not_lie_within_each_other() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let told = |target: &str| {
        fails(folder, &["run", "set.sql", "--source", "bars=bars", "--to", target]).1
    };
    let inner = told("s3://bucket/f/sub");
    assert!(inner.contains("s3://bucket/f/sub lies within the target f"), "{inner}");
    ok(folder, &["run", "set.sql", "--source", "bars=bars", "--to", "s3://bucket/g/h/i"]);
    let outer = told("s3://bucket/g");
    assert!(outer.contains("s3://bucket/g has the target h/i in it"), "{outer}");
    assert!(told("s3://bucket/st*r").contains("is a glob; name a prefix without"));
    // Features would be read back as bars.
    for glob in ["s3://bucket/raw/*/*.parquet", "s3://bucket/raw/*", "s3://bucket/*/x/*.parquet"] {
        Bars::new(3, 20).write(&store.bucket().join("raw/x/bars.parquet"));
        let source = format!("bars={glob}");
        let to = "s3://bucket/raw/x";
        let told = fails(folder, &["run", "set.sql", "--source", &source, "--to", to]).1;
        assert!(told.contains("lies in the source bars"), "{glob}: {told}");
    }
}

#[test]
fn settings_that_are_wrong_are_said_to_be_so() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let words: Vec<String> = args(1, TARGET);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = |yaml: &str| {
        std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
        fails(folder, &words)
    };
    let address = format!("http://127.0.0.1:{}", store.port());
    for wrong in ["127.0.0.1:9000", "localhost", "http://", "ftp://x"] {
        let (code, said) = told(&store.yaml().replace(&address, &format!("'{wrong}'")));
        assert!(
            code == 2 && said.contains(&format!("its endpoint {wrong} is no web address")),
            "{said}"
        );
    }
    let (code, said) = told(&store.yaml().replace("    secret_access_key: SECRET\n", ""));
    assert!(
        code == 2 && said.contains("access_key_id and secret_access_key belong together"),
        "{said}"
    );
    let (code, said) = told(&store.yaml().replace("endpoint", "endpiont"));
    assert!(
        code == 2 && said.contains("unknown key endpiont of s3://bucket; did you mean endpoint?"),
        "{said}"
    );
    let (code, said) = told("stores:\n  bucket: {}\n");
    assert!(code == 2 && said.contains("bucket is no object store; write s3://BUCKET"), "{said}");
    // What is said of all buckets holds beside what is said of one.
    let yaml =
        store.yaml().replace("s3://bucket", "'s3://'") + "  s3://bucket: {region: eu-west-1}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    ok(folder, &words);
    // A key with a line break at its end, and one with a break in it.
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    let with = |id: &str, token: &str| {
        let mut command = windrow(folder);
        command.args(&words).env("AWS_ALLOW_HTTP", "true").env("AWS_ENDPOINT_URL", &address);
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", "SECRET\n");
        let done = command.env("AWS_SESSION_TOKEN", token).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, said) = with("KEY\n", "");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = with("K\nEY", "");
    assert!(
        code == Some(2) && said.contains("AWS_ACCESS_KEY_ID has an odd character in it"),
        "{said}"
    );
}

#[test]
fn compact_writes_adds_and_writes_anew_in_a_bucket() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    ok(folder, &["compact", "bars", "s3://bucket/c"]);
    assert_eq!(all(folder, "s3://bucket/c"), all(folder, "bars"));
    Bars::new(7, 150).write(&folder.join("more/all.parquet"));
    let told = run(folder, &["compact", "more", "s3://bucket/c", "--append"]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("600 rows left out because s3://bucket/c holds their symbol"), "{told}");
    assert_eq!(all(folder, "s3://bucket/c"), all(folder, "more"));
    let files = store.keys("c").len();
    ok(folder, &["compact", "s3://bucket/c", "s3://bucket/c"]);
    assert_eq!(all(folder, "s3://bucket/c"), all(folder, "more"));
    assert!(store.keys("c").len() < files + 1, "{:?}", store.keys("c"));
}

#[test]
fn export_goes_to_a_bucket_and_does_only_what_is_missing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::create_dir(folder.join("queries")).unwrap();
    std::fs::rename(folder.join("set.sql"), folder.join("queries/one.sql")).unwrap();
    std::fs::write(folder.join("queries/two.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    ok(folder, &["compact", "bars", "s3://bucket/bars"]);
    let yaml = store.yaml()
        + "sources: {bars: 's3://bucket/bars'}\ntargets: {export: 's3://bucket/out/{set}'}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let export = |args: &[&str]| {
        let done = run(folder, &[&["export", "queries"], args].concat());
        assert!(done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert!(export(&[]).contains("export: 2 committed, 0 up to date"));
    assert!(export(&["--resume"]).contains("export: 0 committed, 2 up to date"));
    let gone = store.keys("out/two").into_iter().find(|key| key.ends_with("parquet")).unwrap();
    std::fs::remove_file(store.bucket().join(gone)).unwrap();
    assert!(export(&["--resume"]).contains("export: 1 committed, 1 up to date"));
    assert_eq!(all(folder, "s3://bucket/out/two").len(), 600);
}

#[test]
fn the_script_of_the_examples_exports_into_a_bucket() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    std::fs::create_dir(folder.join("queries")).unwrap();
    std::fs::rename(folder.join("set.sql"), folder.join("queries/one.sql")).unwrap();
    std::fs::write(folder.join("queries/two.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    Bars::new(5, 120).write(&store.bucket().join("bars/all.parquet"));
    let program = Path::new(env!("CARGO_BIN_EXE_windrow")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nightly/s3-export.sh");
    let export = || {
        let mut command = std::process::Command::new(&script);
        command.args(["s3://bucket/bars/", "s3://bucket/features"]).current_dir(folder);
        command.env("PATH", &path).env("AWS_ACCESS_KEY_ID", "KEY");
        command.env("AWS_SECRET_ACCESS_KEY", "SECRET").env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", store.port()));
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, told) = export();
    assert!(code == Some(0) && told.contains("export: 2 committed, 0 up to date"), "{told}");
    let (code, told) = export();
    assert!(code == Some(0) && told.contains("export: 0 committed, 2 up to date"), "{told}");
    std::fs::write(folder.join("queries/two.sql"), "SELECT symbol, ts, clsoe FROM bars").unwrap();
    let (code, told) = export();
    assert!(code == Some(1) && told.contains("unknown column clsoe"), "{told}");
    let mut keys = store.keys("features");
    keys.retain(|key| key.ends_with(".parquet"));
    assert_eq!(keys.len(), 6, "{keys:?}");
}
