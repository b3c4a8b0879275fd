//! Files of the local disk. The functions are those of the standard library, under one roof.

use std::collections::BTreeSet;
use std::fs::{DirEntry, File, Metadata, OpenOptions, TryLockError};
use std::io::{Error, Read, Result, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
#[cfg(debug_assertions)]
use std::sync::Arc;

/// Does what touches a path, unless a test has it fail.
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
    /// Its name when it was opened.
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

    /// Makes what was written outlast a power cut.
    ///
    /// # Errors
    /// Of the system.
    pub fn sync_all(&self) -> Result<()> {
        self.intercept_own("sync", File::sync_all)
    }

    /// Its size and times.
    ///
    /// # Errors
    /// Of the system.
    pub fn metadata(&self) -> Result<Metadata> {
        self.intercept_own("stat", File::metadata)
    }

    /// Another handle of the same file.
    ///
    /// # Errors
    /// Of the system.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            file: self.intercept_own("dup", File::try_clone)?,
            #[cfg(debug_assertions)]
            path: Arc::clone(&self.path),
        })
    }

    /// Cuts off all that it holds.
    ///
    /// # Errors
    /// Of the system.
    pub fn truncate_all(&self) -> Result<()> {
        self.intercept_own("truncate", |file| file.set_len(0))
    }

    /// Takes the file for this process alone; false if another one has it. The system gives it back when the
    /// handle goes, however the process ends.
    ///
    /// # Errors
    /// Of the system.
    pub fn try_lock(&self) -> Result<bool> {
        self.intercept_own("lock", |file| is_acquired(file.try_lock()))
    }

    /// Whether another process has taken the file.
    ///
    /// # Errors
    /// Of the system.
    pub fn is_locked(&self) -> Result<bool> {
        self.intercept_own("lock", |file| Ok(!is_acquired(file.try_lock_shared())?))
    }

    /// Reads from a place on; gives how many bytes.
    ///
    /// # Errors
    /// Of the system.
    pub fn read_at(&self, into: &mut [u8], at: u64) -> Result<usize> {
        self.intercept_own("read", |file| std::os::unix::fs::FileExt::read_at(file, into, at))
    }
}

/// Whether a lock was given.
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

/// Opens a file to read it.
///
/// # Errors
/// Of the system.
pub fn open_file(path: &Path) -> Result<LocalFile> {
    intercept_call("open", path, || File::open(path)).map(|file| LocalFile::new(file, path))
}

/// Makes a file, or empties the one that is there.
///
/// # Errors
/// Of the system.
pub fn create_or_truncate(path: &Path) -> Result<LocalFile> {
    intercept_call("create", path, || File::create(path)).map(|file| LocalFile::new(file, path))
}

/// Opens a file to read and write it, and makes it if it is not there.
///
/// # Errors
/// Of the system.
pub fn open_or_create(path: &Path) -> Result<LocalFile> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).read(true).write(true);
    intercept_call("create", path, || options.open(path)).map(|file| LocalFile::new(file, path))
}

/// The bytes of a file.
///
/// # Errors
/// Of the system.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    intercept_call("read", path, || std::fs::read(path))
}

/// The text of a file.
///
/// # Errors
/// Of the system, or bytes that are no UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    intercept_call("read", path, || std::fs::read_to_string(path))
}

/// Writes a file and makes it outlast a power cut; until this is done it may hold a part of the bytes.
///
/// # Errors
/// Of the system.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create_or_truncate(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a file, or the names in a directory, outlast a power cut.
///
/// # Errors
/// Of the system.
pub fn sync_path(path: &Path) -> Result<()> {
    intercept_call("sync", path, || File::open(path)?.sync_all())
}

/// Gives a file or directory another name, and takes the name from what has it.
///
/// # Errors
/// Of the system.
pub fn rename_path(from: &Path, to: &Path) -> Result<()> {
    intercept_call("rename", to, || std::fs::rename(from, to))
}

/// Gives a file or directory another name, which nothing may have.
///
/// # Errors
/// Of the system: `AlreadyExists` where something has it.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    intercept_call("rename", to, || Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?))
}

/// Exchanges two names in one step; where the second is not there, the first becomes it.
///
/// # Errors
/// Of the system: `Unsupported` where the file system has no such step.
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

/// Gives a file a second name.
///
/// # Errors
/// Of the system.
pub fn hard_link(from: &Path, to: &Path) -> Result<()> {
    intercept_call("link", to, || std::fs::hard_link(from, to))
}

/// Removes a file.
///
/// # Errors
/// Of the system.
pub fn remove_file(path: &Path) -> Result<()> {
    intercept_call("remove", path, || std::fs::remove_file(path))
}

/// Removes a file, or a directory with all that it holds; what is not there counts as removed.
///
/// # Errors
/// Of the system.
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

/// Makes a directory, and those that it is to stand in.
///
/// # Errors
/// Of the system.
pub fn create_folder(path: &Path) -> Result<()> {
    intercept_call("mkdir", path, || std::fs::create_dir_all(path))
}

/// What a directory holds, in no order.
///
/// # Errors
/// Of the system.
pub fn list_directory(path: &Path) -> Result<Vec<DirEntry>> {
    intercept_call("list", path, || std::fs::read_dir(path)?.collect())
}

/// Size and times of a file or directory; a link is followed.
///
/// # Errors
/// Of the system.
pub fn read_metadata(path: &Path) -> Result<Metadata> {
    intercept_call("stat", path, || std::fs::metadata(path))
}

/// Size and times of a file or directory; None where nothing has the name.
///
/// # Errors
/// Of the system.
pub fn find_metadata(path: &Path) -> Result<Option<Metadata>> {
    match read_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a directory holds, by name and links last; nothing if it was listed before, for by links one may be met again.
/// `seen` has the directories by device and number.
///
/// # Errors
/// Of the system.
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

/// Whether something has this name. What cannot be asked for is an error, and not taken for absent.
///
/// # Errors
/// Of the system.
pub fn path_exists(path: &Path) -> Result<bool> {
    intercept_call("stat", path, || path.try_exists())
}
