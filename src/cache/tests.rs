use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int64Array,
    RecordBatch, RecordBatchOptions, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Schema};
use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::directory::CacheDirectory;
use super::tier::{StoredEntry, entry_name, temporary_name};
use super::*;
use crate::outside::faults::{FaultGuard, FileFault};

const HOUR: Duration = Duration::from_secs(3600);

/// A NaN that arithmetic does not give.
const ODD_NAN: u64 = 0x7ff8_dead_beef_0001;

fn key(symbol: &str) -> CacheKey {
    CacheKey::new("identity", symbol, None, None)
}

fn floats(count: usize, from: f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..count).map(|row| from + row as f64)))
}

fn rows_of(symbol: &str, count: usize) -> CachedRows {
    let batch = RecordBatch::try_from_iter([("a", floats(count, 0.5)), ("b", floats(count, 7.0))]);
    CachedRows { identity: "identity".into(), symbol: symbol.into(), batch: batch.unwrap() }
}

fn entry_of(symbol: &str, count: usize) -> (CacheKey, CachedRows) {
    (key(symbol), rows_of(symbol, count))
}

async fn open_with(folder: &Path, bounds: CacheBounds) -> ResultCache {
    let tier = CacheDirectory::open(folder.to_path_buf()).await.unwrap();
    ResultCache::with_tier(Box::new(tier), bounds)
}

async fn open(folder: &Path) -> ResultCache {
    open_with(folder, CacheBounds::default()).await
}

fn file_of(folder: &Path, key: &CacheKey) -> std::path::PathBuf {
    folder.join(key.shelf()).join(entry_name(key))
}

fn set_age(path: &Path, age: Duration) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// A batch with one column of each kind that results have.
fn odd_batch() -> RecordBatch {
    let odd = [Some(-0.0), Some(f64::from_bits(ODD_NAN)), None, Some(f64::MIN_POSITIVE / 2.0)];
    let text = [Some("short"), None, Some("a text that is longer than a view"), Some("")];
    let times = TimestampMicrosecondArray::from(vec![Some(-1), Some(0), None, Some(1 << 50)]);
    let small = Float32Array::from(vec![Some(-0.0), Some(f32::NAN), None, Some(1.5)]);
    let words: DictionaryArray<Int32Type> =
        [Some("x"), None, Some("y"), Some("x")].into_iter().collect();
    let columns: [(&str, ArrayRef); 8] = [
        ("ts", Arc::new(times.with_timezone("Europe/Berlin"))),
        ("odd", Arc::new(Float64Array::from(odd.to_vec()))),
        ("small", Arc::new(small)),
        ("view", Arc::new(StringViewArray::from(text.to_vec()))),
        ("text", Arc::new(StringArray::from(text.to_vec()))),
        ("word", Arc::new(words)),
        ("up", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("count", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(i64::MAX)]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut fields = Vec::new();
    for field in batch.schema().fields() {
        let meta = HashMap::from([("windrow.role".to_string(), format!("of {}", field.name()))]);
        fields.push(field.as_ref().clone().with_metadata(meta));
    }
    let meta = HashMap::from([("key".to_string(), "value".to_string())]);
    let schema = Schema::new_with_metadata(fields, meta);
    RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).unwrap()
}

/// Checks that two batches have the same rows and schema, floats to the bit.
fn assert_same(found: &RecordBatch, wanted: &RecordBatch) {
    assert_eq!(found.schema(), wanted.schema());
    assert_eq!(found.num_rows(), wanted.num_rows());
    for (found, wanted) in found.columns().iter().zip(wanted.columns()) {
        let bits = |column: &ArrayRef| -> Vec<Option<u64>> {
            let wide = column.as_primitive_opt::<Float64Type>();
            let small = column.as_primitive_opt::<Float32Type>();
            let wide =
                wide.into_iter().flat_map(|column| column.iter().map(|v| v.map(f64::to_bits)));
            let bits = |v: Option<f32>| v.map(|v| u64::from(v.to_bits()));
            wide.chain(small.into_iter().flat_map(|column| column.iter().map(bits))).collect()
        };
        assert_eq!(bits(found), bits(wanted));
        assert!(found.data_type().is_floating() || found == wanted);
    }
}

fn encode(batch: RecordBatch) -> EncodedEntry {
    let rows = CachedRows { identity: "identity".into(), symbol: "A".into(), batch };
    encode_entry(key("A"), rows, 42).unwrap()
}

#[test]
fn keys_differ_where_requests_differ() {
    let requests = [
        ("a", "b", None, None),
        ("ab", "", None, None),
        ("", "ab", None, None),
        ("b", "a", None, None),
        ("a", "b", Some(""), None),
        ("a", "b", None, Some("")),
        ("a", "b", Some("none"), None),
        ("a", "b", Some("at "), None),
        ("a", "b", Some("2024"), None),
        ("a", "b", None, Some("2024")),
        ("a", "b", Some("2024"), Some("2024")),
        ("a\",\"b", "", None, None),
    ];
    let keys = requests
        .map(|(identity, symbol, from, until)| CacheKey::new(identity, symbol, from, until));
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), requests.len());
    for key in &keys {
        let text = key.to_string();
        assert_eq!(CacheKey::from_digits(&text).as_ref(), Some(key));
        assert!(CacheKey::from_digits(&text.to_uppercase()).is_none_or(|upper| upper == *key));
        assert!(CacheKey::from_digits(&text[1..]).is_none());
    }
    // Keys name files that other versions read: they stay what they are.
    assert_eq!(key("A").to_string(), "5f2ba08d1df1f5220d312d3e23ddae4e");
}

#[test]
fn entries_keep_every_bit() {
    let whole = odd_batch();
    for (offset, length) in [(0, 4), (1, 3), (2, 1), (1, 0), (4, 0)] {
        let batch = whole.slice(offset, length);
        let encoded = encode(batch.clone());
        let decoded = decode_entry(&key("A"), &encoded.bytes).unwrap();
        for entry in [&encoded.memory, &decoded] {
            assert_same(&entry.rows.batch, &batch);
            assert_eq!(
                (entry.rows.identity.as_str(), entry.rows.symbol.as_str()),
                ("identity", "A")
            );
            assert_eq!((entry.written, entry.weight), (42, encoded.memory.weight));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let bare =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let decoded = decode_entry(&key("A"), &encode(bare.clone()).bytes).unwrap();
    assert_same(&decoded.rows.batch, &bare);
}

#[test]
fn an_entry_takes_no_more_than_its_rows() {
    let many = 20_000;
    let names: Vec<String> = (0..many).map(|row| format!("a long name of symbol {row}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let words: DictionaryArray<Int32Type> = names.iter().copied().collect();
    let views = StringViewArray::from_iter_values(names);
    let columns: [(&str, ArrayRef); 3] =
        [("word", Arc::new(words)), ("view", Arc::new(views)), ("a", floats(many, 0.0))];
    let part = RecordBatch::try_from_iter(columns).unwrap().slice(100, 10);
    let encoded = encode(part.clone());
    assert!(encoded.bytes.len() < 4_000, "{}", encoded.bytes.len());
    assert!(encoded.memory.weight < 8_000, "{}", encoded.memory.weight);
    assert_same(&encoded.memory.rows.batch, &part);
}

#[test]
fn damaged_entries_are_none() {
    let bytes = encode(odd_batch()).bytes;
    let decode = |bytes: &[u8]| decode_entry(&key("A"), bytes);
    assert!(decode(&bytes).is_ok());
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        for mask in [0x01, 0x80, 0xff] {
            damaged[at] = bytes[at] ^ mask;
            assert!(decode(&damaged).is_err(), "byte {at} ^ {mask}");
        }
        assert!(decode(&bytes[..at]).is_err(), "the first {at} bytes");
    }
    assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    let told = |key: &CacheKey, bytes: &[u8]| decode_entry(key, bytes).map(|_| ()).unwrap_err();
    assert_eq!(told(&key("B"), &bytes), format!("it is the entry of {}", key("A")));
    assert_eq!(told(&key("A"), b"WRC2 of a later version"), "it has another format");
    assert_eq!(told(&key("A"), b""), "it is truncated");
    assert_eq!(told(&key("A"), &bytes[..50]), "its checksum is wrong");
}

/// Bytes that somebody forged have a right checksum: they may be other rows, but nothing panics or takes memory
/// without a bound.
#[test]
fn forged_entries_do_no_harm() {
    let bytes = encode(odd_batch()).bytes;
    for at in 36..bytes.len() {
        for mask in [0x01, 0x10, 0x80, 0xff] {
            let mut forged = bytes.to_vec();
            forged[at] ^= mask;
            let digest = Sha256::digest(&forged[36..]);
            forged[4..36].copy_from_slice(&digest);
            let _ = decode_entry(&key("A"), &forged);
        }
    }
}

#[test]
fn the_life_of_an_entry_is_its_own() {
    let ttl = Duration::from_secs(1_000);
    let lives: Vec<i64> =
        (0..1_000).map(|n| key(&format!("S{n}")).life_micros(ttl) / 1_000_000).collect();
    assert!(lives.iter().all(|life| (900..=1_100).contains(life)));
    assert!(lives.iter().filter(|life| **life < 920).count() > 50);
    assert!(lives.iter().filter(|life| **life > 1_080).count() > 50);
    assert_eq!(key("A").life_micros(ttl), key("A").life_micros(ttl));
    assert_eq!(key("A").life_micros(Duration::MAX), i64::MAX);
}

#[test]
fn the_oldest_entries_go_first() {
    let entry = |written| StoredEntry { written, key: key(&written.to_string()), bytes: 10 };
    let taken = |most, bytes, expired: &[i64]| {
        let mut list = PruneList::new(most);
        [5, 3, 9, 1, 7].into_iter().for_each(|written| list.note_entry(entry(written)));
        let taken = list.take_excess(bytes, |entry| expired.contains(&entry.written));
        let taken: Vec<i64> = taken.iter().map(|entry| entry.written).collect();
        (taken, list.bytes, list.entries)
    };
    assert_eq!(taken(9, 50, &[]), (vec![], 50, 5));
    assert_eq!(taken(9, 49, &[]), (vec![1], 40, 4));
    assert_eq!(taken(9, 20, &[]), (vec![1, 3, 5], 20, 2));
    // Expired entries make room for older ones.
    assert_eq!(taken(9, 40, &[3]), (vec![3], 40, 4));
    assert_eq!(taken(9, 0, &[]), (vec![1, 3, 5, 7, 9], 0, 0));
    assert_eq!(taken(2, 0, &[9]), (vec![1, 3], 30, 3));
}

#[tokio::test]
async fn entries_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path()).await;
    assert!(cache.get(&key("A")).await.unwrap().is_none());
    cache.put(vec![entry_of("A", 3), entry_of("B", 0), entry_of("A", 4)]).await.unwrap();
    let usage = cache.usage();
    assert_eq!((usage.durable_entries, usage.corrupt), (2, 0));
    assert!(cache.peek_memory(&key("A")).await.is_some());
    drop(cache);
    let cache = open(folder.path()).await;
    assert!(cache.peek_memory(&key("A")).await.is_none());
    let found = cache.get(&key("A")).await.unwrap().unwrap();
    // Of equal keys the last one counts.
    assert_same(&found.batch, &rows_of("A", 4).batch);
    assert!(Arc::ptr_eq(&found, &cache.peek_memory(&key("A")).await.unwrap()));
    assert_eq!(cache.get(&key("B")).await.unwrap().unwrap().batch.num_rows(), 0);
    cache.check().await.unwrap();
    assert!(!cache.is_shared());
    assert_eq!(cache.place(), folder.path().display().to_string());
}

#[tokio::test]
async fn damaged_files_are_absent_and_go() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.put(vec![entry_of("A", 3), entry_of("B", 3)]).await.unwrap();
    let cache = open(folder.path()).await;
    let (a, b) = (file_of(folder.path(), &key("A")), file_of(folder.path(), &key("B")));
    let bytes = std::fs::read(&a).unwrap();
    std::fs::write(&a, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(&b, &bytes).unwrap();
    for (name, path) in [("A", &a), ("B", &b)] {
        assert!(cache.get(&key(name)).await.unwrap().is_none());
        assert!(!path.exists());
    }
    assert_eq!(cache.usage().corrupt, 2);
    cache.put(vec![entry_of("A", 3)]).await.unwrap();
    assert!(open(folder.path()).await.get(&key("A")).await.unwrap().is_some());
}

#[tokio::test]
async fn memory_has_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = CacheBounds { memory: 100_000, ..CacheBounds::default() };
    let cache = open_with(folder.path(), bounds).await;
    let names: Vec<String> = (0..100).map(|n| format!("S{n}")).collect();
    cache.put(names.iter().map(|name| entry_of(name, 200)).collect()).await.unwrap();
    let usage = cache.prune().await.unwrap();
    assert!(usage.memory_bytes <= 100_000 && usage.memory_entries > 10, "{usage:?}");
    assert_eq!(usage.durable_entries, 100);
    // An entry that is larger than all of the memory is read from the disk.
    cache.put(vec![entry_of("large", 20_000)]).await.unwrap();
    assert!(cache.peek_memory(&key("large")).await.is_none());
    let found = cache.get(&key("large")).await.unwrap().unwrap();
    assert_same(&found.batch, &rows_of("large", 20_000).batch);
    assert!(cache.peek_memory(&key("large")).await.is_none());
}

#[tokio::test]
async fn entries_expire() {
    let folder = tempfile::tempdir().unwrap();
    let ttl = Some(Duration::from_millis(300));
    let cache = open_with(folder.path(), CacheBounds { ttl, ..CacheBounds::default() }).await;
    cache.put(vec![entry_of("A", 3)]).await.unwrap();
    let path = file_of(folder.path(), &key("A"));
    // The listing knows an entry by the time of its file.
    set_age(&path, HOUR);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(cache.peek_memory(&key("A")).await.is_none());
    assert!(cache.get(&key("A")).await.unwrap().is_none());
    assert!(path.exists());
    // Without an end it would still be an answer.
    assert!(open(folder.path()).await.get(&key("A")).await.unwrap().is_some());
    assert_eq!(cache.prune().await.unwrap().durable_entries, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_directory_is_pruned_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("S{n}")).collect();
    let writer = open(folder.path()).await;
    writer.put(names.iter().map(|name| entry_of(name, 50)).collect()).await.unwrap();
    for (name, age) in names.iter().zip(1..) {
        set_age(&file_of(folder.path(), &key(name)), HOUR * age);
    }
    let shelf = folder.path().join(key("S0").shelf());
    let others = [temporary_name(), temporary_name(), "notes.txt".into(), "x.rows".into()];
    let others = others.map(|name| shelf.join(name));
    others.iter().for_each(|path| std::fs::write(path, "x").unwrap());
    others[1..].iter().for_each(|path| set_age(path, HOUR * 2));
    let durable = writer.usage().durable_bytes / 2;
    let cache = open_with(folder.path(), CacheBounds { durable, ..CacheBounds::default() }).await;
    let usage = cache.prune().await.unwrap();
    assert!(usage.durable_bytes <= durable && usage.durable_entries >= 9, "{usage:?}");
    let left = names.iter().filter(|name| file_of(folder.path(), &key(name)).exists());
    assert!(left.eq(names.iter().take(usage.durable_entries as usize)));
    // The name of a killed writer goes when it is old, and nothing that is of others.
    assert_eq!(others.map(|path| path.exists()), [true, false, true, true]);
    cache.put(vec![entry_of("more", 50)]).await.unwrap();
    assert_eq!(cache.usage().durable_entries, usage.durable_entries + 1);
    assert_eq!(cache.prune().await.unwrap().durable_entries, usage.durable_entries);
}

#[tokio::test]
async fn a_new_entry_survives_the_prune_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path()).await;
    cache.put(vec![entry_of("A", 3)]).await.unwrap();
    let path = file_of(folder.path(), &key("A"));
    set_age(&path, HOUR);
    let shelf = key("A").shelf().to_string();
    let listed = cache.tier.list_shelf(shelf).await.unwrap();
    assert_eq!(listed.len(), 1);
    cache.put(vec![entry_of("A", 4)]).await.unwrap();
    cache.tier.remove_unchanged(listed).await.unwrap();
    assert!(path.exists());
    cache.tier.remove_damaged(&key("A"), Bytes::from_static(b"torn")).await.unwrap();
    assert!(path.exists());
}

/// A directory that counts what is read.
struct CountedTier {
    inside: CacheDirectory,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl DurableTier for CountedTier {
    fn place(&self) -> String {
        self.inside.place()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn read(&self, key: &CacheKey) -> Result<Option<Bytes>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.inside.read(key).await
    }

    async fn write(&self, entries: Vec<(CacheKey, Bytes)>) -> Result<()> {
        self.inside.write(entries).await
    }

    async fn list_shelf(&self, shelf: String) -> Result<Vec<StoredEntry>> {
        self.inside.list_shelf(shelf).await
    }

    async fn remove_unchanged(&self, entries: Vec<StoredEntry>) -> Result<()> {
        self.inside.remove_unchanged(entries).await
    }

    async fn remove_damaged(&self, key: &CacheKey, bytes: Bytes) -> Result<()> {
        self.inside.remove_damaged(key, bytes).await
    }

    async fn probe(&self) -> Result<()> {
        self.inside.probe().await
    }
}

#[tokio::test]
async fn calls_at_the_same_time_read_once() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.put(vec![entry_of("A", 3)]).await.unwrap();
    let inside = CacheDirectory::open(folder.path().to_path_buf()).await.unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    let tier = CountedTier { inside, reads: Arc::clone(&reads) };
    let cache = ResultCache::with_tier(Box::new(tier), CacheBounds::default());
    for (name, wanted) in [("A", 1), ("nobody", 2)] {
        let key = key(name);
        let found = futures::future::join_all((0..50).map(|_| cache.get(&key))).await;
        assert!(found.iter().all(|found| found.as_ref().unwrap().is_some() == (name == "A")));
        assert_eq!(reads.load(Ordering::SeqCst), wanted);
    }
}

#[tokio::test]
async fn two_caches_share_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let caches = [open(folder.path()).await, open(folder.path()).await];
    let names: Vec<String> = (0..200).map(|n| format!("S{n}")).collect();
    let put = |cache: usize| {
        let (cache, names) = (&caches[cache], &names);
        async move { cache.put(names.iter().map(|name| entry_of(name, 9)).collect()).await.unwrap() }
    };
    futures::join!(put(0), put(1), async { caches[1].prune().await.unwrap() });
    for cache in &caches {
        for name in &names {
            assert!(cache.get(&key(name)).await.unwrap().is_some());
        }
        assert_eq!(cache.prune().await.unwrap().durable_entries, 200);
    }
    let small = CacheBounds { durable: 0, ..CacheBounds::default() };
    let pruners =
        [open_with(folder.path(), small.clone()).await, open_with(folder.path(), small).await];
    let (one, two) = futures::join!(pruners[0].prune(), pruners[1].prune());
    assert_eq!([one.unwrap().durable_entries, two.unwrap().durable_entries], [0, 0]);
    assert!(caches[0].tier.list_shelf(key("S0").shelf().into()).await.unwrap().is_empty());
}

#[tokio::test]
async fn tasks_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Arc::new(open(folder.path()).await);
    let task = |symbol: &'static str| {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move {
            cache.put(vec![entry_of(symbol, 9)]).await?;
            cache.check().await?;
            cache.prune().await?;
            cache.get(&key(symbol)).await
        })
    };
    for task in [task("A"), task("B"), task("C")] {
        assert!(task.await.unwrap().unwrap().is_some());
    }
}

#[tokio::test]
async fn a_failed_write_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path()).await;
    for fault in [FileFault::Full, FileFault::Error] {
        for call in 1..=3 {
            let guard = FaultGuard::inject_below(folder.path(), vec![(call, fault)]);
            let error = cache.put(vec![entry_of("A", 3)]).await.err();
            assert!(!guard.is_dead());
            drop(guard);
            if let Some(error) = &error {
                assert_eq!(error.is_disk_full(), fault == FileFault::Full, "{error}");
                assert!(cache.peek_memory(&key("A")).await.is_none());
            }
            let shelf = std::fs::read_dir(folder.path().join(key("A").shelf()));
            let names: Vec<_> =
                shelf.into_iter().flatten().flatten().map(|file| file.file_name()).collect();
            let wanted = if error.is_none() { 1 } else { 0 };
            assert_eq!(names.len(), wanted, "{names:?}");
            cache.memory.invalidate(&key("A")).await;
            let _ = std::fs::remove_file(file_of(folder.path(), &key("A")));
        }
    }
}

#[tokio::test]
async fn a_directory_must_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "x").unwrap();
    let told =
        |opened: Result<CacheDirectory>| opened.err().map(|e| e.to_string()).unwrap_or_default();
    let shown = path.display();
    let opened = CacheDirectory::open(path.clone()).await;
    assert_eq!(told(opened), format!("the cache {shown} is a file; name a directory"));
    let below = told(CacheDirectory::open(path.join("below")).await);
    assert!(below.starts_with(&format!("cannot use {shown}/below as a cache: ")), "{below}");
}
