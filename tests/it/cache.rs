//! The cache: one suite for each place that keeps entries, with two caches on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use windrow::cache::{CacheBounds, CacheKey, CachedRows, ResultCache};
use windrow::config::Config;
use windrow::error::{Kind, Result};
use windrow::store::StoreRegistry;

use super::servers::{Base, Cluster};
use super::store::{Fate, Store};

/// A place that keeps entries, and a way to them without the cache.
enum Place {
    Directory(tempfile::TempDir),
    Bucket(Store),
    Table(Base<'static>),
}

struct Stage {
    place: Place,
    location: String,
    access: Arc<StoreRegistry>,
}

fn access_of(folder: &std::path::Path) -> Arc<StoreRegistry> {
    let config = Config::load(folder, &|_| None).unwrap();
    Arc::new(StoreRegistry::from_config(&config))
}

impl Stage {
    fn directory() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("cache").display().to_string();
        let access = access_of(folder.path());
        Some(Self { place: Place::Directory(folder), location, access })
    }

    fn bucket() -> Option<Self> {
        let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("windrow.yaml"), store.yaml()).unwrap();
        let access = access_of(folder.path());
        let location = "s3://bucket/cache/rows/".to_string();
        Some(Self { place: Place::Bucket(store), location, access })
    }

    /// None without a server.
    fn table() -> Option<Self> {
        let base = Cluster::shared()?.base();
        let folder = tempfile::tempdir().unwrap();
        let (location, access) = (base.database(), access_of(folder.path()));
        Some(Self { place: Place::Table(base), location, access })
    }

    async fn open_with(&self, bounds: CacheBounds) -> ResultCache {
        ResultCache::open(&self.location, bounds, &self.access).await.unwrap()
    }

    async fn open(&self) -> ResultCache {
        self.open_with(CacheBounds::default()).await
    }

    /// The file of an entry; None in a table.
    fn file(&self, key: &CacheKey) -> Option<PathBuf> {
        let root = match &self.place {
            Place::Directory(folder) => folder.path().join("cache"),
            Place::Bucket(store) => store.bucket().join("cache/rows"),
            Place::Table(_) => return None,
        };
        let key = key.to_string();
        Some(root.join(&key[..2]).join(format!("{key}.rows")))
    }

    fn run(&self, sql: &str) {
        let Place::Table(base) = &self.place else { panic!("no table") };
        std::thread::scope(|scope| scope.spawn(|| base.run(sql)).join().unwrap());
    }

    /// Cuts the last byte of an entry off.
    fn damage(&self, key: &CacheKey) {
        match self.file(key) {
            Some(path) => {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            }
            None => self.run(&format!(
                "UPDATE windrow_cache.entries SET value = substr(value, 1, octet_length(value) - 1) \
                 WHERE key = '{key}'"
            )),
        }
    }

    /// Makes an entry as old as that.
    fn set_age(&self, key: &CacheKey, hours: u64) {
        match self.file(key) {
            Some(path) => {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                let age = Duration::from_secs(3600 * hours);
                file.set_modified(SystemTime::now() - age).unwrap();
            }
            None => self.run(&format!(
                "UPDATE windrow_cache.entries SET written = now() - interval '{hours} hours' \
                 WHERE key = '{key}'"
            )),
        }
    }
}

/// Runs each test with each place.
macro_rules! with_each_place {
    ($($test:ident)*) => {
        with_each_place! { @directory $($test)* }
        with_each_place! { @bucket $($test)* }
        with_each_place! { @table $($test)* }
    };
    (@$place:ident $($test:ident)*) => {
        mod $place {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let stage = tokio::task::spawn_blocking(Stage::$place).await.unwrap();
                if let Some(stage) = stage {
                    super::$test(stage).await;
                }
            })*
        }
    };
}

with_each_place! {
    entries_of_one_cache_are_those_of_another
    damaged_entries_are_absent_and_go
    the_oldest_entries_go_first
    old_entries_expire
    caches_write_and_prune_at_the_same_time
}

fn key(symbol: &str) -> CacheKey {
    CacheKey::new("identity", symbol, Some("2024-01-01"), None)
}

fn entry(symbol: &str, rows: usize) -> (CacheKey, CachedRows) {
    let values = (0..rows).map(|row| (row % 7 > 0).then_some(1.0 / (row as f64 - 3.0)));
    let names = (0..rows).map(|_| symbol);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("symbol", Arc::new(StringArray::from_iter_values(names)) as _, true),
        ("value", Arc::new(values.collect::<Float64Array>()) as _, true),
    ]);
    let (identity, symbol, batch) = ("identity".into(), symbol.to_string(), batch.unwrap());
    (key(&symbol), CachedRows { identity, symbol, batch })
}

/// The symbol and the bits of an entry's values.
fn bits(rows: &CachedRows) -> (&str, Vec<Option<u64>>) {
    let values = rows.batch.column(1).as_primitive::<Float64Type>();
    (&rows.symbol, values.iter().map(|value| value.map(f64::to_bits)).collect())
}

async fn entries_of_one_cache_are_those_of_another(stage: Stage) {
    let (one, two) = tokio::join!(stage.open(), stage.open());
    assert!(one.get(&key("A")).await.unwrap().is_none());
    let many = 150;
    let names: Vec<String> = (0..many).map(|n| format!("S{n}")).collect();
    let mut entries: Vec<_> = names.iter().map(|name| entry(name, 20)).collect();
    entries.push(entry("empty", 0));
    entries.push(entry("large", 50_000));
    one.put(entries.clone()).await.unwrap();
    for (key, wanted) in &entries {
        for cache in [&one, &two] {
            let found = cache.get(key).await.unwrap().unwrap();
            assert_eq!(bits(&found), bits(wanted));
            assert_eq!(found.batch.schema(), wanted.batch.schema());
        }
    }
    let usage = one.usage();
    assert_eq!((usage.durable_entries, usage.corrupt), (many + 2, 0));
    assert!(usage.durable_bytes > 100_000, "{usage:?}");
    // Another process knows the number after it has listed them.
    assert_eq!(two.usage().durable_entries, 0);
    let listed = two.prune().await.unwrap();
    assert_eq!(
        (listed.durable_entries, listed.durable_bytes),
        (usage.durable_entries, usage.durable_bytes)
    );
    // A newer entry replaces the old one.
    two.put(vec![entry("S0", 7)]).await.unwrap();
    assert_eq!(stage.open().await.get(&key("S0")).await.unwrap().unwrap().batch.num_rows(), 7);
    one.check().await.unwrap();
    // The check leaves nothing.
    assert_eq!(one.prune().await.unwrap().durable_entries, many + 2);
    assert_eq!(one.is_shared(), !matches!(stage.place, Place::Directory(_)));
    assert!(stage.location.starts_with(&one.place()), "{}", one.place());
}

async fn damaged_entries_are_absent_and_go(stage: Stage) {
    stage.open().await.put(vec![entry("A", 9), entry("B", 9)]).await.unwrap();
    stage.damage(&key("A"));
    let cache = stage.open().await;
    for _ in 0..2 {
        assert!(cache.get(&key("A")).await.unwrap().is_none());
        assert!(cache.get(&key("B")).await.unwrap().is_some());
        assert_eq!(cache.usage().corrupt, 1);
    }
    assert_eq!(cache.prune().await.unwrap().durable_entries, 1);
    cache.put(vec![entry("A", 9)]).await.unwrap();
    assert!(stage.open().await.get(&key("A")).await.unwrap().is_some());
}

async fn the_oldest_entries_go_first(stage: Stage) {
    let names: Vec<String> = (0..10).map(|n| format!("S{n}")).collect();
    let writer = stage.open().await;
    writer.put(names.iter().map(|name| entry(name, 50)).collect()).await.unwrap();
    for (name, hours) in names.iter().zip(1..) {
        stage.set_age(&key(name), hours);
    }
    let durable = writer.usage().durable_bytes / 2;
    let cache = stage.open_with(CacheBounds { durable, ..CacheBounds::default() }).await;
    let usage = cache.prune().await.unwrap();
    assert!(usage.durable_bytes <= durable && usage.durable_entries >= 4, "{usage:?}");
    let fresh = stage.open().await;
    for (name, number) in names.iter().zip(0..) {
        let found = fresh.get(&key(name)).await.unwrap();
        assert_eq!(found.is_some(), number < usage.durable_entries, "{name}");
    }
    assert_eq!(cache.prune().await.unwrap(), usage);
}

async fn old_entries_expire(stage: Stage) {
    let ttl = Some(Duration::from_secs(10 * 3600));
    let cache = stage.open_with(CacheBounds { ttl, ..CacheBounds::default() }).await;
    cache.put(vec![entry("A", 9), entry("B", 9), entry("C", 9)]).await.unwrap();
    stage.set_age(&key("A"), 12);
    stage.set_age(&key("B"), 8);
    assert_eq!(cache.prune().await.unwrap().durable_entries, 2);
    let fresh = stage.open().await;
    let found = |symbol: &'static str| {
        let fresh = &fresh;
        async move { fresh.get(&key(symbol)).await.unwrap().is_some() }
    };
    assert_eq!([found("A").await, found("B").await, found("C").await], [false, true, true]);
}

async fn caches_write_and_prune_at_the_same_time(stage: Stage) {
    let caches = [stage.open().await, stage.open().await];
    let names: Vec<String> = (0..200).map(|n| format!("S{n}")).collect();
    let put = |cache: usize| {
        let (cache, names) = (&caches[cache], &names);
        async move {
            let entries = names.iter().map(|name| entry(name, 30)).collect();
            cache.put(entries).await.unwrap();
        }
    };
    let prune = async { caches[0].prune().await.unwrap() };
    tokio::join!(put(0), put(1), prune);
    let fresh = stage.open().await;
    for name in &names {
        assert!(fresh.get(&key(name)).await.unwrap().is_some(), "{name}");
    }
    let bounds = CacheBounds { durable: 0, ..CacheBounds::default() };
    let (one, two) = tokio::join!(stage.open_with(bounds.clone()), stage.open_with(bounds));
    let (one, two) = tokio::join!(one.prune(), two.prune());
    assert_eq!([one.unwrap().durable_entries, two.unwrap().durable_entries], [0, 0]);
}

#[tokio::test]
async fn wrong_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let access = access_of(folder.path());
    let cases = [
        ("", "the location is empty; name a directory or a file"),
        (
            "s3://bucket",
            "s3://bucket/ is a whole bucket; name a prefix, such as s3://bucket/cache/",
        ),
        ("s3://bucket/a*/", "s3://bucket/a* is a glob; name a prefix without *, ? and ["),
        (
            "https://host/a.csv",
            "https://host/a.csv is on a web server, which takes no files; name a directory, \
             a prefix with s3://, gs:// or az://, or a database with postgres://",
        ),
        (
            "postgres://ann:secret@host/db?table=t",
            "postgres://ann@host/db?table=t: it names more than a database; \
             write postgres://user@host:5432/database",
        ),
    ];
    for (location, wanted) in cases {
        let opened = ResultCache::open(location, CacheBounds::default(), &access).await;
        let error = opened.err().unwrap();
        assert_eq!((error.to_string().as_str(), error.kind()), (wanted, Kind::Usage));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_is_told() {
    let stage = tokio::task::spawn_blocking(Stage::bucket).await.unwrap().unwrap();
    let cache = stage.open().await;
    let Place::Bucket(store) = &stage.place else { panic!("no bucket") };
    store.judge(|method, _| match method {
        "PUT" => Fate::Status(403, "AccessDenied"),
        _ => Fate::Pass,
    });
    let told = |done: Result<()>| done.err().map(|error| error.to_string()).unwrap_or_default();
    for told in [told(cache.put(vec![entry("A", 3)]).await), told(cache.check().await)] {
        assert!(
            told.contains("answers 403 AccessDenied (as asked) to PUT /bucket/cache/rows/"),
            "{told}"
        );
    }
    assert!(cache.get(&key("A")).await.unwrap().is_none());
}

/// Processes that start at the same time all find the table, and one that has no server says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_prepared_once() {
    let stage = tokio::task::spawn_blocking(Stage::table).await.unwrap();
    let Some(stage) = stage else { return };
    let caches = futures::future::join_all((0..8).map(|_| stage.open())).await;
    for cache in &caches {
        cache.check().await.unwrap();
    }
    caches[0].put(vec![entry("A", 3)]).await.unwrap();
    assert!(caches[7].get(&key("A")).await.unwrap().is_some());
    stage.run("DROP SCHEMA windrow_cache CASCADE");
    let error = caches[1].get(&key("A")).await.unwrap_err();
    assert!(error.message().contains("cannot use the cache"), "{error}");
    let gone = "postgres://postgres:secret@127.0.0.1:1/db";
    let error = ResultCache::open(gone, CacheBounds::default(), &stage.access).await.err().unwrap();
    assert!(error.is_transient() && !error.to_string().contains("secret"), "{error}");
}
