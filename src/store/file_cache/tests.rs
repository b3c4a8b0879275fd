use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::*;
use crate::error::Error;
use crate::limits::CACHE_LEFTOVER_AGE;

/// A remote file, and the ranges that were fetched from it.
struct Remote {
    bytes: Vec<u8>,
    fetched: Mutex<Vec<Range<u64>>>,
    is_sure: bool,
}

impl Remote {
    fn new(seed: u8, length: usize) -> Self {
        let byte = |n: usize| (n / 3 + n / 256) as u8 ^ seed;
        Self { bytes: (0..length).map(byte).collect(), fetched: Mutex::default(), is_sure: true }
    }

    fn slice(&self, range: &Range<u64>) -> Bytes {
        Bytes::copy_from_slice(&self.bytes[range.start as usize..range.end as usize])
    }

    /// Reads ranges, which must be right; returns what was fetched.
    async fn read(
        &self,
        cache: &Arc<RemoteFileCache>,
        key: &Arc<FileKey>,
        ranges: &[Range<u64>],
    ) -> Vec<Range<u64>> {
        let fetch = |range: Range<u64>| async move {
            lock(&self.fetched).push(range.clone());
            Ok((self.slice(&range), self.is_sure))
        };
        let read = cache.read_through(key, ranges, fetch).await.unwrap();
        for (range, bytes) in ranges.iter().zip(read) {
            assert!(bytes == self.slice(range), "{range:?}");
        }
        std::mem::take(&mut *lock(&self.fetched))
    }
}

fn key(version: &str) -> Arc<FileKey> {
    Arc::new(FileKey::new("s3://bucket/bars.parquet", version))
}

/// The files of segments, and all others below the directory.
fn segment_files(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shelf in std::fs::read_dir(place.join(FORMAT_FOLDER)).into_iter().flatten().flatten() {
        found.extend(std::fs::read_dir(shelf.path()).unwrap().map(|file| file.unwrap().path()));
    }
    found.sort();
    found
}

const MB: u64 = 1 << 20;

#[tokio::test]
async fn only_missing_bytes_are_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let (remote, key) = (Remote::new(1, 8 << 20), key("1"));
    let cache = RemoteFileCache::new(folder.path(), 1 << 30);
    assert_eq!(remote.read(&cache, &key, &[10..20]).await, [10..20]);
    assert!(remote.read(&cache, &key, &[10..20]).await.is_empty());
    assert!(remote.read(&cache, &key, &[12..15, 19..20, 13..13]).await.is_empty());
    // The rest of a range, before, between and behind.
    assert_eq!(remote.read(&cache, &key, &[2 * MB..3 * MB]).await, [2 * MB..3 * MB]);
    let parts = remote.read(&cache, &key, &[MB..4 * MB]).await;
    assert_eq!(parts, [MB..2 * MB, 3 * MB..4 * MB]);
    assert!(remote.read(&cache, &key, &[MB..4 * MB, 5..5]).await.is_empty());
    // Bytes between ranges that are there are not fetched, though they are near; those between gaps are.
    let near = [5 * MB..5 * MB + 10, 5 * MB + 100..5 * MB + 110];
    let far = [5 * MB..5 * MB + 110];
    assert_eq!(remote.read(&cache, &key, &near).await, far);
    assert!(remote.read(&cache, &key, &near).await.is_empty());
    let apart = [6 * MB..6 * MB + 10, 7 * MB..7 * MB + 10];
    assert_eq!(remote.read(&cache, &key, &apart).await, apart);
    let around = [6 * MB..6 * MB + 10, 7 * MB..7 * MB + 20];
    assert_eq!(remote.read(&cache, &key, &around).await, [7 * MB + 10..7 * MB + 20]);
    // Another process finds the same.
    let other = RemoteFileCache::new(folder.path(), 1 << 30);
    assert!(remote.read(&other, &key, &[MB..4 * MB]).await.is_empty());
    let counts = other.counts();
    assert_eq!((counts.hits, counts.misses, counts.errors), (1, 0, 0));
    assert_eq!((counts.hit_bytes, counts.miss_bytes), (3 * MB, 0));
}

#[tokio::test]
async fn versions_are_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = RemoteFileCache::new(folder.path(), 1 << 30);
    let (old, new) = (Remote::new(1, 4 << 20), Remote::new(2, 4 << 20));
    old.read(&cache, &key("1"), &[0..MB]).await;
    assert_eq!(segment_files(folder.path()).len(), 1);
    assert_eq!(new.read(&cache, &key("2"), &[0..MB]).await, [0..MB]);
    // The bytes of the old version are gone.
    assert_eq!(segment_files(folder.path()).len(), 1);
    assert_eq!(old.read(&cache, &key("1"), &[0..MB]).await, [0..MB]);
    // An answer that does not name its version is not kept.
    let unsure = Remote { is_sure: false, ..Remote::new(3, 4 << 20) };
    for _ in 0..2 {
        assert_eq!(unsure.read(&cache, &key("3"), &[0..MB]).await, [0..MB]);
    }
    // Nor is one that failed, which is the error of the read.
    let fail = |_| async { Err(Error::data("changed while it was read")) };
    let part = 0..2 * MB;
    let read = cache.read_through(&key("1"), std::slice::from_ref(&part), fail).await;
    assert!(read.unwrap_err().to_string().contains("changed while it was read"));
}

#[tokio::test]
async fn damaged_segments_are_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let (remote, key) = (Remote::new(1, 4 << 20), key("1"));
    let cache = RemoteFileCache::new(folder.path(), 1 << 30);
    remote.read(&cache, &key, &[0..MB]).await;
    remote.read(&cache, &key, &[MB..2 * MB]).await;
    let damage: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes[100_000] ^= 1,
        |bytes| bytes[20] ^= 1,
        |bytes| bytes.truncate(70_000),
        |bytes| bytes.clear(),
        |bytes| bytes.push(0),
    ];
    for (number, damage) in damage.into_iter().enumerate() {
        let path = segment_files(folder.path()).remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let fetched = remote.read(&cache, &key, &[0..2 * MB]).await;
        assert_eq!(fetched.len(), 1, "{number}: {fetched:?}");
        assert_eq!(cache.counts().errors, number as u64 + 1);
        assert!(remote.read(&cache, &key, &[0..2 * MB]).await.is_empty(), "{number}");
    }
    // A segment that cannot be read at all.
    let path = segment_files(folder.path()).remove(0);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(remote.read(&cache, &key, &[0..2 * MB]).await.len(), 1);
}

#[tokio::test]
async fn the_bound_holds_and_the_least_used_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 32 * MB;
    let cache = RemoteFileCache::new(folder.path(), bound);
    let remote = Remote::new(1, 1 << 20);
    let key = |n: u32| Arc::new(FileKey::new(&format!("s3://bucket/{n}"), "1"));
    let size = || {
        let files = segment_files(folder.path());
        files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum::<u64>()
    };
    remote.read(&cache, &key(0), &[0..MB]).await;
    for n in 1..200 {
        // All that is there was used an hour ago, but for the first.
        for path in segment_files(folder.path()) {
            let old = SystemTime::now() - Duration::from_secs(3600);
            std::fs::File::open(&path).unwrap().set_modified(old).unwrap();
        }
        assert!(remote.read(&cache, &key(0), &[0..MB]).await.is_empty(), "{n}");
        assert_eq!(remote.read(&cache, &key(n), &[0..MB]).await.len(), 1);
        assert!(size() <= bound, "{n}: {}", size());
        assert!(cache.counts().bytes <= bound && cache.counts().bytes >= size());
    }
    assert!(size() >= bound / 2);
    // A smaller bound applies at the next start.
    let smaller = RemoteFileCache::new(folder.path(), 8 * MB);
    smaller.recount();
    assert!(size() <= 8 * MB && size() > 0);
    // Bytes that would push all others out are not kept.
    let large = Remote::new(2, 4 << 20);
    for _ in 0..2 {
        assert_eq!(large.read(&smaller, &key(500), &[0..4 * MB]).await.len(), 1);
    }
    assert_eq!(smaller.counts().errors, 0);
}

#[tokio::test]
async fn two_writers_share_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 32 * MB;
    let caches = [0, 1].map(|_| RemoteFileCache::new(folder.path(), bound));
    let remote = Arc::new(Remote::new(1, 1 << 20));
    let mut tasks = tokio::task::JoinSet::new();
    for cache in caches.clone() {
        let (remote, place) = (Arc::clone(&remote), folder.path().to_path_buf());
        tasks.spawn(async move {
            for n in 0..150_u32 {
                let key = Arc::new(FileKey::new(&format!("s3://bucket/{n}"), "1"));
                remote.read(&cache, &key, &[0..MB, 10..20]).await;
                let files = segment_files(&place);
                let lengths = files.iter().filter_map(|file| std::fs::metadata(file).ok());
                let size: u64 = lengths.map(|meta| meta.len()).sum();
                assert!(size <= bound + MB, "{n}: {size}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(caches.map(|cache| cache.counts().errors), [0, 0]);
}

#[tokio::test]
async fn leftovers_of_killed_writers_go() {
    let folder = tempfile::tempdir().unwrap();
    let cache = RemoteFileCache::new(folder.path(), 1 << 30);
    Remote::new(1, 100).read(&cache, &key("1"), &[0..100]).await;
    let shelf = key("1").folder(&folder.path().join(FORMAT_FOLDER));
    let age = [Duration::ZERO, 2 * CACHE_LEFTOVER_AGE];
    for (name, age) in [".1-a.writing", ".1-b.writing"].into_iter().zip(age) {
        std::fs::write(shelf.join(name), "half").unwrap();
        let file = std::fs::File::open(shelf.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    std::fs::write(shelf.join("other"), "not of the cache").unwrap();
    RemoteFileCache::new(folder.path(), 1 << 30).recount();
    let left = segment_files(folder.path());
    let names: Vec<_> = left.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&".1-a.writing".as_ref()) && names.contains(&"other".as_ref()));
}

#[tokio::test]
async fn a_disk_that_does_not_work_costs_requests_only() {
    use crate::outside::faults::{FaultGuard, FileFault};
    let remote = Remote::new(1, 1 << 20);
    for fault in [FileFault::Error, FileFault::Full, FileFault::Lost, FileFault::KilledAfter] {
        for number in 1..14 {
            let folder = tempfile::tempdir().unwrap();
            let cache = RemoteFileCache::new(folder.path(), 1 << 30);
            let guard = FaultGuard::inject_below(folder.path(), vec![(number, fault)]);
            for _ in 0..2 {
                remote.read(&cache, &key("1"), &[0..1000]).await;
            }
            let is_hit = guard.call_log().len() as u64 >= number;
            drop(guard);
            let errors = cache.counts().errors;
            assert!(errors <= 3, "{fault:?} {number}: {errors}");
            // Whatever was left behind, the next process reads right bytes.
            let next = RemoteFileCache::new(folder.path(), 1 << 30);
            next.recount();
            remote.read(&next, &key("1"), &[0..2000]).await;
            assert!(remote.read(&next, &key("1"), &[0..2000]).await.is_empty());
            if !is_hit {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a file/files");
    std::fs::write(folder.path().join("a file"), "").unwrap();
    let (remote, cache) = (Remote::new(1, 1000), RemoteFileCache::new(&place, 1 << 30));
    for _ in 0..3 {
        assert_eq!(remote.read(&cache, &key("1"), &[0..10]).await, [0..10]);
    }
    assert!(cache.counts().errors >= 1 && cache.is_failing.load(Ordering::Relaxed));
    std::fs::remove_file(folder.path().join("a file")).unwrap();
    *lock(&cache.paused) = Some(Instant::now());
    assert_eq!(remote.read(&cache, &key("1"), &[0..10]).await, [0..10]);
    assert!(remote.read(&cache, &key("1"), &[0..10]).await.is_empty());
    assert!(!cache.is_failing.load(Ordering::Relaxed));
    let mode = std::fs::metadata(place.join(FORMAT_FOLDER)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn ranges_are_covered_by_the_longest_segments() {
    let key = key("1");
    let cover = |range: Range<u64>, segments: &[(u64, u64)]| {
        let mut names: Vec<_> =
            segments.iter().map(|(at, length)| key.segment(*at, *length)).collect();
        names.sort_by_key(|name| (name.offset, name.length));
        let parts = cover_range(&range, &names).into_iter();
        parts.map(|(part, from)| (part, from.map(|from| from.offset))).collect::<Vec<_>>()
    };
    assert_eq!(cover(5..9, &[]), [(5..9, None)]);
    assert_eq!(cover(5..9, &[(0, 5), (9, 5)]), [(5..9, None)]);
    assert_eq!(cover(5..9, &[(0, 50), (5, 2)]), [(5..9, Some(0))]);
    assert_eq!(
        cover(0..9, &[(2, 2), (3, 4)]),
        [(0..2, None), (2..4, Some(2)), (4..7, Some(3)), (7..9, None)]
    );
    assert_eq!(cover(0..9, &[(0, 3), (0, 9)]), [(0..9, Some(0))]);
}
