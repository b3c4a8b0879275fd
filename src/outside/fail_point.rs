//! The steps of runs, commits and caches at which tests kill or pause the process: one list for the code and the tests.

/// A step of a run or commit. Tests name it in `WINDROW_FAULT`; release builds ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// The stage was created.
    StageMade,
    /// The retained files were linked into the stage.
    FilesLinked,
    /// A file of rows was closed.
    FileClosed,
    /// All rows were staged.
    RowsWritten,
    /// The record was written. In a bucket this is the commit; elsewhere no reader sees it yet.
    RecordWritten,
    /// The folders that the commit adds were announced.
    FoldersMade,
    /// The stage was synced.
    BeforeExchange,
    /// The stage became the target.
    AfterExchange,
    /// The exchange was synced.
    BeforeCleaning,
    /// The old state was removed.
    AfterCleaning,
    /// The lease of a prefix was taken.
    LeaseTaken,
    /// All uploads were completed.
    UploadsComplete,
    /// The record of a prefix is about to be written.
    BeforeRecord,
    /// The files of the old state of a prefix were removed.
    OldRemoved,
    /// The transaction of a table is about to be committed.
    BeforeCommit,
    /// The transaction of a table was committed.
    AfterCommit,
    /// A half of some bytes of a remote file is in the file cache.
    FileCacheWriting,
}

use FailPoint::{
    AfterCleaning, AfterCommit, AfterExchange, BeforeCleaning, BeforeCommit, BeforeExchange,
    BeforeRecord, FileCacheWriting, FileClosed, FilesLinked, FoldersMade, LeaseTaken, OldRemoved,
    RecordWritten, RowsWritten, StageMade, UploadsComplete,
};

impl FailPoint {
    /// Every step.
    pub const ALL: [Self; 17] = [
        StageMade,
        FilesLinked,
        FileClosed,
        RowsWritten,
        RecordWritten,
        FoldersMade,
        BeforeExchange,
        AfterExchange,
        BeforeCleaning,
        AfterCleaning,
        LeaseTaken,
        UploadsComplete,
        BeforeRecord,
        OldRemoved,
        BeforeCommit,
        AfterCommit,
        FileCacheWriting,
    ];

    /// The steps of a run into a directory that retains no files and adds no folders.
    pub const OF_DIRECTORY: [Self; 8] = [
        StageMade,
        FileClosed,
        RowsWritten,
        RecordWritten,
        BeforeExchange,
        AfterExchange,
        BeforeCleaning,
        AfterCleaning,
    ];

    /// The steps of a run into a CSV file.
    pub const OF_CSV_FILE: [Self; 6] =
        [RowsWritten, RecordWritten, BeforeExchange, AfterExchange, BeforeCleaning, AfterCleaning];

    /// The steps of a run into a prefix of an object store.
    pub const OF_BUCKET: [Self; 7] = [
        LeaseTaken,
        FileClosed,
        RowsWritten,
        UploadsComplete,
        BeforeRecord,
        RecordWritten,
        OldRemoved,
    ];

    /// The steps of a run into a table.
    pub const OF_TABLE: [Self; 4] = [StageMade, RowsWritten, BeforeCommit, AfterCommit];

    /// Returns its name in `WINDROW_FAULT`.
    pub const fn name(self) -> &'static str {
        match self {
            StageMade => "stage-made",
            FilesLinked => "files-linked",
            FileClosed => "file-closed",
            RowsWritten => "rows-written",
            RecordWritten => "record-written",
            FoldersMade => "folders-made",
            BeforeExchange => "before-exchange",
            AfterExchange => "after-exchange",
            BeforeCleaning => "before-cleaning",
            AfterCleaning => "after-cleaning",
            LeaseTaken => "lease-taken",
            UploadsComplete => "uploads-complete",
            BeforeRecord => "before-record",
            OldRemoved => "old-removed",
            BeforeCommit => "before-commit",
            AfterCommit => "after-commit",
            FileCacheWriting => "file-cache-writing",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_step_is_one_of_a_kind_of_target() {
        let names: BTreeSet<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), FailPoint::ALL.len());
        let listed = [
            &FailPoint::OF_DIRECTORY[..],
            &FailPoint::OF_CSV_FILE,
            &FailPoint::OF_BUCKET,
            &FailPoint::OF_TABLE,
            // Only if files are retained, folders are added, or remote files are cached.
            &[FilesLinked, FoldersMade, FileCacheWriting],
        ];
        let listed: BTreeSet<_> = listed.concat().iter().map(|point| point.name()).collect();
        assert_eq!(listed, names);
    }
}
