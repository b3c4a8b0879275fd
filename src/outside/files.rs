//! Files of the local disk: the functions of the standard library, gathered here so that tests can make each call
//! fail.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{Error, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
#[cfg(debug_assertions)]
use std::sync::Arc;

/// Runs an operation on a path, unless a test makes it fail.
fn intercept_call<T>(
    name: &'static str,
    path: &Path,
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    #[cfg(debug_assertions)]
    return super::faults::call_with_fault(name, path, act);
    #[cfg(not(debug_assertions))]
    {
        let _ = (name, path);
        act()
    }
}

/// An open file.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    /// The path that it was opened by.
    #[cfg(debug_assertions)]
    path: Arc<Path>,
}

impl LocalFile {
    fn new(file: File, path: &Path) -> Self {
        #[cfg(not(debug_assertions))]
        let _ = path;
        Self {
            file,
            #[cfg(debug_assertions)]
            path: path.into(),
        }
    }

    fn intercept_own<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&File) -> Result<T>,
    ) -> Result<T> {
        #[cfg(debug_assertions)]
        return intercept_call(name, &self.path, || act(&self.file));
        #[cfg(not(debug_assertions))]
        {
            let _ = name;
            act(&self.file)
        }
    }

    /// Flushes the written bytes to the disk, so that they survive a power failure.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn sync_all(&self) -> Result<()> {
        self.intercept_own("sync", File::sync_all)
    }

    /// Returns its size and times.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn metadata(&self) -> Result<Metadata> {
        self.intercept_own("stat", File::metadata)
    }

    /// Returns another handle of the same file.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            file: self.intercept_own("dup", File::try_clone)?,
            #[cfg(debug_assertions)]
            path: Arc::clone(&self.path),
        })
    }

    /// Truncates the file to zero bytes.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn truncate_all(&self) -> Result<()> {
        self.intercept_own("truncate", |file| file.set_len(0))
    }

    /// Sets the time of the last change to that of the clock, as if the bytes had been written now.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn touch(&self) -> Result<()> {
        self.intercept_own("touch", |file| file.set_modified(super::utc_now().into()))
    }

    /// Locks the file exclusively; returns false if another handle holds the lock. The system releases the lock
    /// when the handle is closed, however the process ends.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn try_lock(&self) -> Result<bool> {
        self.intercept_own("lock", |file| is_acquired(file.try_lock()))
    }

    /// Returns whether another process has locked the file.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn is_locked(&self) -> Result<bool> {
        self.intercept_own("lock", |file| Ok(!is_acquired(file.try_lock_shared())?))
    }

    /// Reads bytes from an offset on; returns how many were read.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn read_at(&self, into: &mut [u8], at: u64) -> Result<usize> {
        self.intercept_own("read", |file| std::os::unix::fs::FileExt::read_at(file, into, at))
    }
}

/// Returns whether a lock was acquired.
fn is_acquired(lock: std::result::Result<(), TryLockError>) -> Result<bool> {
    match lock {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Read for LocalFile {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        self.intercept_own("read", |mut file| file.read(into))
    }
}

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        #[cfg(debug_assertions)]
        if let Some(part) = super::faults::short_write(&self.path, bytes) {
            return (&self.file).write(part);
        }
        self.intercept_own("write", |mut file| file.write(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

/// Opens a file for reading.
///
/// # Errors
/// If the system call fails.
pub fn open_file(path: &Path) -> Result<LocalFile> {
    intercept_call("open", path, || File::open(path)).map(|file| LocalFile::new(file, path))
}

/// Creates a file, or truncates the existing one.
///
/// # Errors
/// If the system call fails.
pub fn create_or_truncate(path: &Path) -> Result<LocalFile> {
    intercept_call("create", path, || File::create(path)).map(|file| LocalFile::new(file, path))
}

/// Opens a file for reading and writing, and creates it if it does not exist.
///
/// # Errors
/// If the system call fails.
pub fn open_or_create(path: &Path) -> Result<LocalFile> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).read(true).write(true);
    intercept_call("create", path, || options.open(path)).map(|file| LocalFile::new(file, path))
}

/// Creates a file that only its owner may read and write; fails if the name is taken.
///
/// # Errors
/// If the system call fails.
pub fn create_private(path: &Path) -> Result<LocalFile> {
    let mut options = OpenOptions::new();
    let options = options.create_new(true).write(true).mode(0o600);
    intercept_call("create", path, || options.open(path)).map(|file| LocalFile::new(file, path))
}

/// Creates a directory that only its owner may read and write, and its missing parents. An existing directory is
/// taken from all others, which fails if it is not one's own.
///
/// # Errors
/// If the system call fails.
pub fn create_private_folder(path: &Path) -> Result<()> {
    intercept_call("mkdir", path, || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // A link could lead to a directory that others need.
        if !std::fs::symlink_metadata(path)?.is_dir() {
            return Err(Error::new(std::io::ErrorKind::NotADirectory, "it is a link"));
        }
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
    })
}

/// Returns the bytes that this user may still write to the disk of a path.
///
/// # Errors
/// If the system call fails.
pub fn free_space(path: &Path) -> Result<u64> {
    intercept_call("stat", path, || {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    })
}

/// Returns the bytes of a file.
///
/// # Errors
/// If the system call fails.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    intercept_call("read", path, || std::fs::read(path))
}

/// Returns the text of a file.
///
/// # Errors
/// If the system call fails, or the bytes are not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    intercept_call("read", path, || std::fs::read_to_string(path))
}

/// Writes a file and flushes it to the disk. Until this returns, the file may hold only a part of the bytes.
///
/// # Errors
/// If the system call fails.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create_or_truncate(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Flushes a file, or the names in a directory, to the disk, so that they survive a power failure.
///
/// # Errors
/// If the system call fails.
pub fn sync_path(path: &Path) -> Result<()> {
    intercept_call("sync", path, || File::open(path)?.sync_all())
}

/// Renames a file or directory, and replaces the file that has the new name.
///
/// # Errors
/// If the system call fails.
pub fn rename_path(from: &Path, to: &Path) -> Result<()> {
    intercept_call("rename", to, || std::fs::rename(from, to))
}

/// Renames a file or directory; fails if the new name is taken.
///
/// # Errors
/// If the system call fails; with `AlreadyExists` if the name is taken.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    intercept_call("rename", to, || Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?))
}

/// Exchanges two names atomically; if the second does not exist, renames the first to it.
///
/// # Errors
/// If the system call fails; with `Unsupported` if the file system cannot exchange names.
pub fn exchange_names(from: &Path, to: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    let flags = if path_exists(to)? { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    intercept_call("exchange", to, || {
        renameat_with(CWD, from, CWD, to, flags).map_err(|error| match error {
            Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => {
                Error::new(std::io::ErrorKind::Unsupported, Error::from(error))
            }
            _ => Error::from(error),
        })
    })
}

/// Creates a hard link: a second name of a file.
///
/// # Errors
/// If the system call fails.
pub fn hard_link(from: &Path, to: &Path) -> Result<()> {
    intercept_call("link", to, || std::fs::hard_link(from, to))
}

/// Removes a file.
///
/// # Errors
/// If the system call fails.
pub fn remove_file(path: &Path) -> Result<()> {
    intercept_call("remove", path, || std::fs::remove_file(path))
}

/// Removes a file, or a directory with its contents; a missing path counts as removed.
///
/// # Errors
/// If the system call fails.
pub fn remove_all(path: &Path) -> Result<()> {
    let found = intercept_call("stat", path, || std::fs::symlink_metadata(path));
    match found {
        Ok(meta) if meta.is_dir() => {
            intercept_call("remove", path, || std::fs::remove_dir_all(path))
        }
        Ok(_) => remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates a directory and its missing parents.
///
/// # Errors
/// If the system call fails.
pub fn create_folder(path: &Path) -> Result<()> {
    intercept_call("mkdir", path, || std::fs::create_dir_all(path))
}

/// Returns the entries of a directory, in no particular order.
///
/// # Errors
/// If the system call fails.
pub fn list_directory(path: &Path) -> Result<Vec<DirEntry>> {
    intercept_call("list", path, || std::fs::read_dir(path)?.collect())
}

/// Returns the size and times of a file or directory; follows links.
///
/// # Errors
/// If the system call fails.
pub fn read_metadata(path: &Path) -> Result<Metadata> {
    intercept_call("stat", path, || std::fs::metadata(path))
}

/// Returns the size and times of a file or directory; None if the name does not exist.
///
/// # Errors
/// If the system call fails.
pub fn find_metadata(path: &Path) -> Result<Option<Metadata>> {
    match read_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the entries of a directory, sorted by name with links last. Returns nothing for a directory that was
/// listed before: links may lead to it again. `seen` holds the listed directories by device and inode.
///
/// # Errors
/// If the system call fails.
pub fn list_unvisited(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> Result<Vec<DirEntry>> {
    let meta = read_metadata(path)?;
    if !seen.insert((meta.dev(), meta.ino())) {
        return Ok(Vec::new());
    }
    let mut entries = list_directory(path)?;
    entries.sort_by_key(|entry| {
        (entry.file_type().is_ok_and(|kind| kind.is_symlink()), entry.file_name())
    });
    Ok(entries)
}

/// Returns whether a path exists. A path that cannot be checked is an error, and does not count as absent.
///
/// # Errors
/// If the system call fails.
pub fn path_exists(path: &Path) -> Result<bool> {
    intercept_call("stat", path, || path.try_exists())
}
