//! What every object store has to give: the same tests against the server within this process, and
//! against real ones that `tests/stores/run` starts.

use std::path::Path;
use std::process::Stdio;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;

use super::kill::{SET, args};
use super::store::Store;
use super::support::{Bars, ok, rows, run, windrow};

/// A bucket of a server, and what windrow.yaml says of it.
struct Place {
    _server: Option<Store>,
    /// Its URL.
    bucket: String,
    yaml: String,
    client: Box<dyn ObjectStore>,
    /// Whether the server looks whether an object is there before it writes one.
    conditional: bool,
}

impl Place {
    /// `WINDROW_TEST_S3` is `ENDPOINT KEY SECRET BUCKET`, `WINDROW_TEST_AZURITE` a container of Azurite;
    /// without them the server is ours.
    fn find() -> Self {
        if let Ok(container) = std::env::var("WINDROW_TEST_AZURITE") {
            let client = MicrosoftAzureBuilder::new()
                .with_use_emulator(true)
                .with_container_name(&container)
                .build();
            return Self {
                _server: None,
                yaml: format!("stores:\n  az://{container}: {{emulator: true}}\n"),
                bucket: format!("az://{container}"),
                client: Box::new(client.unwrap()),
                conditional: true,
            };
        }
        let given = std::env::var("WINDROW_TEST_S3").ok();
        let server = given.is_none().then(Store::start);
        let own =
            server.as_ref().map(|s| format!("http://127.0.0.1:{} KEY SECRET bucket", s.port()));
        let words = given.or(own).unwrap();
        let words: Vec<&str> = words.split_whitespace().collect();
        let [endpoint, key, secret, bucket] = words[..] else { panic!("{words:?}") };
        let yaml = format!(
            "stores:\n  s3://{bucket}:\n    endpoint: {endpoint}\n    allow_http: true\n    access_key_id: {key}\n    secret_access_key: {secret}\n"
        );
        let client = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id(key)
            .with_secret_access_key(secret)
            .with_bucket_name(bucket)
            .with_region("us-east-1")
            .build()
            .unwrap();
        let conditional = std::env::var("WINDROW_TEST_S3_CONDITIONS").as_deref() != Ok("ignored");
        let (bucket, client) = (format!("s3://{bucket}"), Box::new(client));
        Self { _server: server, bucket, yaml, client, conditional }
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let prefix = object_store::path::Path::from(prefix);
        let listed: Vec<_> =
            runtime.block_on(self.client.list(Some(&prefix)).try_collect()).unwrap();
        let mut keys: Vec<String> = listed.iter().map(|meta| meta.location.to_string()).collect();
        keys.sort();
        keys
    }
}

struct Job<'a> {
    folder: &'a Path,
    target: String,
}

impl Job<'_> {
    fn args(&self, state: usize) -> Vec<String> {
        args(state, &self.target)
    }

    fn run(&self, state: usize) -> String {
        let done = windrow(self.folder).args(self.args(state)).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{told}");
        told
    }

    /// State and rows.
    fn state(&self) -> Vec<String> {
        let source = format!("f={}", self.target);
        rows(self.folder, "SELECT state, count(*) FROM f GROUP BY state", &[&source])
    }
}

#[test]
fn any_store_holds_the_old_state_or_the_new_one() {
    let place = Place::find();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Bars::new(40, 3_000).write(&folder.join("bars/all.parquet"));
    std::fs::write(folder.join("set.sql"), SET).unwrap();
    std::fs::write(folder.join("windrow.yaml"), &place.yaml).unwrap();
    let name = format!("test-{}", std::process::id());
    let job = Job { folder, target: format!("{}/{name}/f", place.bucket) };
    let told = job.run(1);
    assert_eq!(told.contains("writes over what is there"), !place.conditional, "{told}");
    assert_eq!(job.state(), ["1.0,120000"]);
    ok(folder, &["run", "set.sql", "--source", "bars=bars", "--to", "local"]);
    let sql = "SELECT * FROM f ORDER BY symbol, ts LIMIT 5000";
    let [there, here] =
        [job.target.as_str(), "local"].map(|target| rows(folder, sql, &[&format!("f={target}")]));
    assert_eq!(there, here);
    // Killed at every step.
    for (number, point) in ["lease-taken", "rows-written", "uploads-complete", "record-written"]
        .into_iter()
        .enumerate()
    {
        let mut killed = windrow(folder);
        killed.args(job.args(100 + number)).env("WINDROW_FAULT", point).stderr(Stdio::null());
        assert_eq!(killed.status().unwrap().code(), None, "{point}: it was not killed");
        let committed = point == "record-written";
        let before = if number == 0 { 1 } else { 10 + number - 1 };
        let expected = if committed { 100 + number } else { before };
        assert_eq!(job.state(), [format!("{expected}.0,120000")], "{point}");
        job.run(10 + number);
        assert_eq!(job.state(), [format!("{}.0,120000", 10 + number)], "{point}");
    }
    // Two at once: one of them, or one after the other.
    let start =
        |state| windrow(folder).args(job.args(state)).stderr(Stdio::piped()).spawn().unwrap();
    let ends = [start(21), start(22)].map(|run| run.wait_with_output().unwrap());
    assert!(ends.iter().any(|end| end.status.success()));
    let state = job.state();
    assert!(state == ["21.0,120000"] || state == ["22.0,120000"], "{state:?}");
    let told = run(folder, &["vacuum", &job.target]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let keys = place.keys(&format!("{name}/f"));
    let files = keys.iter().filter(|key| key.ends_with(".parquet")).count();
    let records = keys.iter().filter(|key| key.ends_with(".json")).count();
    assert_eq!(files + records, keys.len(), "{keys:?}");
    // Everything of it goes through an upload of several parts, too.
    ok(folder, &["compact", &job.target, &format!("{}/{name}/c", place.bucket)]);
    let keys: Vec<object_store::path::Path> =
        place.keys(&name).into_iter().map(object_store::path::Path::from).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for key in keys {
        runtime.block_on(object_store::ObjectStoreExt::delete(&place.client, &key)).unwrap();
    }
}
