//! Objects whose bytes are kept on the local disk, read as the scans read them.

use windrow::config::Config;
use windrow::store::{
    Listing, ObjectUrl, RemoteFileCache, RemoteObject, StoreRegistry, list_bucket_files,
    list_web_files,
};

use super::*;

const MB: usize = 1 << 20;
const A: std::ops::Range<u64> = 0..MB as u64;
const B: std::ops::Range<u64> = 2 * MB as u64..3 * MB as u64;

fn run_async(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(test);
}

/// Stores of the settings, with a cache in the folder.
fn open_stores(folder: &Path, yaml: &str) -> (StoreRegistry, Arc<RemoteFileCache>) {
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let config = Config::load(folder, &|_| None).unwrap();
    let cache = RemoteFileCache::new(&folder.join("files"), 1 << 30);
    (StoreRegistry::from_config(&config).with_file_cache(Some(Arc::clone(&cache))), cache)
}

fn only_object(listing: Listing) -> RemoteObject {
    listing.files.into_iter().next().unwrap().object.unwrap()
}

async fn list(stores: &StoreRegistry, url: &str) -> RemoteObject {
    let url = ObjectUrl::parse(url).unwrap().unwrap();
    only_object(list_bucket_files(stores, &url).await.unwrap().0)
}

async fn look(stores: &StoreRegistry, url: &str) -> RemoteObject {
    let url = ObjectUrl::parse(url).unwrap().unwrap();
    only_object(list_web_files(stores, &[url], false).await.unwrap().0)
}

/// Reads both parts, which must be of one version; the requests that it took.
async fn read_both(object: &RemoteObject, byte: u8) {
    let read = object.read_ranges(&[A, B]).await.unwrap();
    assert!(read.iter().all(|bytes| bytes == &vec![byte; MB]), "not all bytes are {byte}");
}

/// Reads parts of an object that was replaced; some of A are cached.
async fn refuse_mixtures(old: &RemoteObject, name: &str) {
    let partly = MB as u64 / 2..B.end;
    for ranges in [vec![B], vec![A, B], vec![partly]] {
        let error = old.read_ranges(&ranges).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("{name} changed while it was read")), "{text}");
        assert!(error.is_transient(), "{text}");
    }
}

#[test]
fn an_object_that_is_replaced_between_listing_and_reading_is_never_mixed() {
    let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
    store.judge(|_, path| if path.contains("list-type=2") { Fate::Tagged } else { Fate::Pass });
    run_async(async {
        let (stores, cache) = open_stores(folder.path(), &store.yaml());
        let path = store.bucket().join("x/a.parquet");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let url = "s3://bucket/x/";
        std::fs::write(&path, vec![1; 4 * MB]).unwrap();
        let old = list(&stores, url).await;
        assert_eq!(old.read_range(A).await.unwrap(), vec![1; MB]);
        std::fs::write(&path, vec![2; 4 * MB]).unwrap();
        // The cached bytes of the listed version are right, and the rest is not to be had.
        assert_eq!(old.read_range(A).await.unwrap(), vec![1; MB]);
        refuse_mixtures(&old, "s3://bucket/x/a.parquet").await;
        let new = list(&stores, url).await;
        read_both(&new, 2).await;
        store.asked();
        read_both(&list(&stores, url).await, 2).await;
        let asked = store.asked();
        assert!(asked.iter().all(|asked| asked.contains("list-type=2")), "{asked:?}");
        // A removed object is read as far as it is there.
        std::fs::remove_file(&path).unwrap();
        read_both(&new, 2).await;
        let error = new.read_range(0..B.end).await.unwrap_err().to_string();
        assert!(error.contains("was removed while it was read"), "{error}");
        assert_eq!(cache.counts().errors, 0);
    });
}

#[test]
fn a_server_that_refuses_the_condition_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("web");
    std::fs::create_dir(&place).unwrap();
    run_async(async {
        let web = Web::start(place.clone(), false);
        let (stores, _) = open_stores(folder.path(), "");
        let url = format!("http://127.0.0.1:{}/a.parquet", web.port);
        let write = |byte: u8| {
            std::fs::write(place.join("a.parquet"), vec![byte; 4 * MB]).unwrap();
            std::fs::write(place.join("a.parquet.etag"), format!("\"{byte}\"")).unwrap();
        };
        write(1);
        let old = look(&stores, &url).await;
        assert_eq!(old.read_range(A).await.unwrap(), vec![1; MB]);
        write(2);
        refuse_mixtures(&old, &url).await;
        read_both(&look(&stores, &url).await, 2).await;
        // A file that was written within the last minute may be written again within the same second.
        write(3);
        let now = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        std::fs::write(place.join("a.parquet.date"), now).unwrap();
        for _ in 0..2 {
            let young = look(&stores, &url).await;
            web.asked.lock().unwrap().clear();
            read_both(&young, 3).await;
            assert_eq!(web.asked.lock().unwrap().len(), 2);
        }
    });
}

#[test]
fn a_list_without_etags_goes_by_time_and_length() {
    let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
    run_async(async {
        let (stores, cache) = open_stores(folder.path(), &store.yaml());
        let path = store.bucket().join("x/a.parquet");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let write = |byte: u8, age: u64| {
            std::fs::write(&path, vec![byte; 4 * MB]).unwrap();
            let time = std::time::SystemTime::now() - Duration::from_secs(age);
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        write(1, 0);
        for _ in 0..2 {
            read_both(&list(&stores, "s3://bucket/x/").await, 1).await;
        }
        assert_eq!((cache.counts().hits, cache.counts().misses), (0, 4));
        for (byte, age) in [(2, 7200), (3, 3600)] {
            write(byte, age);
            for _ in 0..2 {
                read_both(&list(&stores, "s3://bucket/x/").await, byte).await;
            }
        }
        assert_eq!((cache.counts().hits, cache.counts().misses), (4, 8));
    });
}

#[test]
fn an_object_that_is_detached_is_always_fetched() {
    let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
    store.judge(|_, path| if path.contains("list-type=2") { Fate::Tagged } else { Fate::Pass });
    run_async(async {
        let (stores, cache) = open_stores(folder.path(), &store.yaml());
        std::fs::write(store.bucket().join("a.parquet"), vec![1; 4 * MB]).unwrap();
        let mut object = list(&stores, "s3://bucket/a.parquet").await;
        read_both(&object, 1).await;
        object.detach_from_cache();
        store.asked();
        read_both(&object, 1).await;
        assert_eq!((store.asked().len(), cache.counts().hits), (2, 0));
    });
}
