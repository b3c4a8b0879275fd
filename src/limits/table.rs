//! The bounds themselves.

use std::time::Duration;

use super::{LimitEntry, show_bytes, show_count, show_duration};

/// Makes each bound a constant, and a line of the table of all.
macro_rules! limits {
    ($($group:literal {
        $($(#[doc = $bounds:literal])+ $name:ident: $type:ty = $value:expr, $shown:expr, $past:literal;)*
    })*) => {
        $($($(#[doc = $bounds])+ pub const $name: $type = $value;)*)*

        /// All bounds, in the order in which they are shown.
        pub fn all_limits() -> Vec<LimitEntry> {
            vec![$($(LimitEntry {
                group: $group,
                name: stringify!($name),
                value: $shown,
                bounds: [$($bounds),+].concat().trim().to_string(),
                past: $past,
            },)*)*]
        }
    };
}

limits! {
    "Statements and templates" {
        /// The length of a statement, once its template is rendered.
        STATEMENT_BYTES: usize = 16 << 20, show_bytes(STATEMENT_BYTES as u64), "It is refused.";
        /// How deep expressions and queries of a statement are nested in each other.
        STATEMENT_DEPTH: usize = 200, show_count(STATEMENT_DEPTH as u64, "level"), "It is refused.";
        /// How deep CASE stands in CASE. The parser tries each twice where one of them is wrong.
        STATEMENT_CASES: usize = 16, show_count(STATEMENT_CASES as u64, "level"), "It is refused, with its place.";
        /// The operators of one expression: `a + b + c` has two. Plans of long chains are walked recursively, and the
        /// time to plan them grows with the square.
        EXPRESSION_OPERATORS: usize = 1_000, show_count(EXPRESSION_OPERATORS as u64, "operator"), "It is refused, with its place.";
        /// The tables and queries that a statement puts together by JOIN, UNION, EXCEPT, INTERSECT and commas.
        STATEMENT_PARTS: usize = 500, show_count(STATEMENT_PARTS as u64, "part"), "It is refused, with its place.";
        /// The steps of a plan before it is optimised; what is read by several names counts each time.
        PLAN_NODES: u64 = 20_000, show_count(PLAN_NODES, "step"), "It is refused.";
        /// The length of a frame (`ROWS BETWEEN n PRECEDING ...`) that is computed while the rows of a group pass by.
        FRAME_ROWS: i64 = 1_000_000, show_count(FRAME_ROWS as u64, "row"), "All rows of a group are held in memory at a time.";
        /// The tags, filters and turns of loops of a template.
        TEMPLATE_STEPS: u64 = 400_000, show_count(TEMPLATE_STEPS, "step"), "It is refused.";
        /// The length of one tag of a template.
        TEMPLATE_TAG: usize = 16 << 10, show_bytes(TEMPLATE_TAG as u64), "It is refused, with its place.";
        /// How deep lists and mappings are nested in a value that a template writes.
        TEMPLATE_DEPTH: usize = 64, show_count(TEMPLATE_DEPTH as u64, "level"), "It is refused, with its place.";
        /// How deep macros of a template call each other.
        TEMPLATE_CALLS: usize = 100, show_count(TEMPLATE_CALLS as u64, "call"), "It is refused.";
        /// How deep `windrow.yaml` and the header of a feature set are nested.
        YAML_DEPTH: usize = 64, show_count(YAML_DEPTH as u64, "level"), "It is refused.";
        /// The values of `windrow.yaml` and of a header; what an alias stands for counts each time.
        YAML_NODES: usize = 250_000, show_count(YAML_NODES as u64, "value"), "It is refused.";
    }
    "Sources" {
        /// The files of a source.
        SOURCE_FILES: usize = 1 << 24, show_count(SOURCE_FILES as u64, "file"), "The source is refused.";
        /// The files of a target, or of CSV, that are held open while they are read, so that no commit takes them away.
        TARGET_FILES_HELD: usize = 256, show_count(TARGET_FILES_HELD as u64, "file"), "A file may be gone when its turn comes, which is an error.";
        /// How often a local target is listed again while runs commit into it.
        LISTED_AGAIN: usize = 50, show_count(LISTED_AGAIN as u64, "time"), "The read ends with an error.";
        /// How often a target in an object store is listed again while runs commit into it.
        LISTED_AGAIN_REMOTE: usize = 3, show_count(LISTED_AGAIN_REMOTE as u64, "time"), "The read ends with an error.";
        /// The files of which an engine remembers what their footers said.
        FOOTERS_KEPT: usize = 65_536, show_count(FOOTERS_KEPT as u64, "file"), "The oldest are forgotten, and their footers are read again.";
        /// The threads that read footers of files on servers at a time, unless there are more that compute.
        FOOTER_READERS: usize = 64, show_count(FOOTER_READERS as u64, "thread"), "Files wait for their turn.";
        /// The web addresses that are asked for at a time when a source is listed.
        WEB_ADDRESSES_AT_ONCE: usize = 16, show_count(WEB_ADDRESSES_AT_ONCE as u64, "request"), "The others wait.";
        /// The size up to which a file is read or fetched whole.
        FILE_READ_WHOLE: u64 = 1 << 20, show_bytes(FILE_READ_WHOLE), "A larger file is read column by column.";
        /// The bytes of files on a server that each partition opens before their turn.
        BYTES_AHEAD: u64 = 8 << 20, show_bytes(BYTES_AHEAD), "The next ones wait.";
        /// The row groups that each partition fetches before their turn.
        ROW_GROUPS_AHEAD: usize = 2, show_count(ROW_GROUPS_AHEAD as u64, "row group"), "The next ones wait.";
        /// The connections that a source of PostgreSQL opens.
        SOURCE_CONNECTIONS: usize = 64, show_count(SOURCE_CONNECTIONS as u64, "connection"), "Ranges of symbols wait for their turn.";
    }
    "Memory and execution" {
        /// The least `memory_limit`.
        MEMORY_LEAST: u64 = 128_000_000, show_bytes(MEMORY_LEAST), "A smaller limit is refused.";
        /// What the process may have beyond its memory limit, or a quarter of the limit if that is more.
        MEMORY_SLACK: u64 = 256 << 20, show_bytes(MEMORY_SLACK), "The command ends.";
        /// The temporary files of sorts, exchanges and shared rows.
        SPILLED_BYTES: u64 = 100 << 30, show_bytes(SPILLED_BYTES), "The command ends.";
        /// The spilled files that a sort merges at a time.
        SPILL_FAN_IN: usize = 16, show_count(SPILL_FAN_IN as u64, "file"), "It takes more passes.";
        /// The rows up to which a side of a cross join is held in memory while the other one passes by.
        CROSS_JOIN_FEW: usize = 1024, show_count(CROSS_JOIN_FEW as u64, "row"), "The side with fewer rows is held.";
        /// The stack of a thread that plans or computes.
        PLAN_STACK: usize = 64 << 20, show_bytes(PLAN_STACK as u64), "The bounds on statements keep plans within it.";
        /// The threads that read and flush files, beside one for each worker.
        FILE_THREADS: usize = 6, show_count(FILE_THREADS as u64, "thread"), "Files wait for their turn.";
        /// How long a command that is stopped takes to leave everything as it was.
        STOP_GRACE: Duration = Duration::from_millis(500), show_duration(STOP_GRACE), "It ends; the next run cleans up.";
        /// The same where a server has to be told.
        STOP_GRACE_REMOTE: Duration = Duration::from_millis(900), show_duration(STOP_GRACE_REMOTE), "It ends; the next run cleans up.";
    }
    "Writing" {
        /// The rows of a row group; fewer under a memory limit.
        ROW_GROUP_ROWS: usize = 128 * 1024, show_count(ROW_GROUP_ROWS as u64, "row"), "The next group begins.";
        /// The closed files of a partition that are on their way to the disk or the store.
        FILES_FLUSHED: usize = 16, show_count(FILES_FLUSHED as u64, "file"), "The writer waits.";
        /// The bytes of a part of an upload.
        UPLOAD_PART: usize = 8 << 20, show_bytes(UPLOAD_PART as u64), "The next part begins.";
        /// The same under a memory limit.
        UPLOAD_PART_LIMITED: usize = 5 << 20, show_bytes(UPLOAD_PART_LIMITED as u64), "The next part begins.";
        /// The parts of one file in an object store.
        UPLOAD_PARTS: usize = 10_000, show_count(UPLOAD_PARTS as u64, "part"), "The run is refused; `partition_by` makes more and smaller files.";
        /// The rows that go to a table in one transaction, two of which wait for each partition.
        COPY_CHUNK: usize = 4 << 20, show_bytes(COPY_CHUNK as u64), "The writer waits.";
    }
    "Commits" {
        /// How often a run begins anew because files or a server lost what they had.
        RUN_AGAIN: usize = 3, show_count(RUN_AGAIN as u64, "time"), "The error of the last attempt is told.";
        /// How long a commit that adds folders of `partition_by` waits between making them and the exchange, so that
        /// other readers know them.
        FOLDERS_LISTED: Duration = Duration::from_secs(2), show_duration(FOLDERS_LISTED), "A reader that lists more slowly may miss the rows of new folders.";
        /// How long a commit keeps the old directory after the exchange, for readers that have opened it, or one of its
        /// folders, and have not listed it yet.
        OLD_STATE_LISTED: Duration = Duration::from_millis(50), show_duration(OLD_STATE_LISTED), "A reader that takes longer finds the directory empty.";
        /// How often a run writes its lease in an object store.
        LEASE_BEAT: Duration = Duration::from_secs(4), show_duration(LEASE_BEAT), "A lease that is not written counts as dead after a while: `lease_dead`.";
        /// How long a lease that nobody writes counts as held.
        LEASE_DEAD: Duration = Duration::from_secs(30), show_duration(LEASE_DEAD), "The next run takes the target over.";
        /// The uploads that a run writes into its lease as soon as they begin.
        UPLOADS_NOTED: usize = 64, show_count(UPLOADS_NOTED as u64, "upload"), "Further ones are written with the next beat of the lease.";
        /// The pages of a thousand uploads that are looked through for those of dead runs.
        UPLOAD_PAGES: usize = 100, show_count(UPLOAD_PAGES as u64, "page"), "The next run looks at the next ones.";
        /// The uploads that a commit completes at a time.
        UPLOADS_COMPLETED: usize = 16, show_count(UPLOADS_COMPLETED as u64, "upload"), "The others wait.";
        /// The objects that are removed at a time.
        OBJECTS_REMOVED: usize = 16, show_count(OBJECTS_REMOVED as u64, "object"), "The others wait.";
        /// How long a run waits for the lock of a table that a run of this machine had when it died.
        LOCK_OF_A_DEAD_RUN: Duration = Duration::from_secs(30), show_duration(LOCK_OF_A_DEAD_RUN), "It is refused.";
        /// How long a run waits for the lock of a table that a run of another machine has.
        LOCK_OF_ANOTHER_MACHINE: Duration = Duration::from_secs(5), show_duration(LOCK_OF_ANOTHER_MACHINE), "It is refused.";
    }
    "Servers" {
        /// The requests to one bucket or web server at a time.
        REQUESTS_AT_ONCE: usize = 128, show_count(REQUESTS_AT_ONCE as u64, "request"), "The others wait.";
        /// How long nothing may come of an answer of an object store or web server.
        ANSWER_SILENCE: Duration = Duration::from_secs(20), show_duration(ANSWER_SILENCE), "The request is sent again.";
        /// How long a store may ask a request to slow down.
        SLOW_DOWN: Duration = Duration::from_secs(600), show_duration(SLOW_DOWN), "The command ends.";
        /// The longest pause of all requests to a store that asks for one.
        SLOW_DOWN_PAUSE: Duration = Duration::from_secs(8), show_duration(SLOW_DOWN_PAUSE), "Requests go on after it.";
        /// How long a server of PostgreSQL may be unreachable while it is waited for.
        SERVER_SILENCE: Duration = Duration::from_secs(60), show_duration(SERVER_SILENCE), "The connection counts as broken, and the call is made again.";
        /// How long a call is made again from its first failure, where `timeout_seconds` says nothing.
        RETRY_PATIENCE: Duration = Duration::from_secs(60), show_duration(RETRY_PATIENCE), "The last error is told.";
        /// The longest wait before the second attempt; it doubles with each.
        RETRY_WAIT_FIRST: Duration = Duration::from_millis(200), show_duration(RETRY_WAIT_FIRST), "The call is made again after it.";
        /// The longest wait before any attempt.
        RETRY_WAIT: Duration = Duration::from_secs(10), show_duration(RETRY_WAIT), "The call is made again after it.";
        /// The calls that fail in a row before a server is left alone.
        SERVER_FAILURES: usize = 5, show_count(SERVER_FAILURES as u64, "call"), "It is left alone for a while.";
        /// How long a server that fails is left alone.
        SERVER_LEFT_ALONE: Duration = Duration::from_secs(5), show_duration(SERVER_LEFT_ALONE), "It is called again.";
    }
    "Terminal and messages" {
        /// How deep files that `\i` runs may run files.
        FILES_IN_FILES: usize = 16, show_count(FILES_IN_FILES as u64, "file"), "It is an error.";
        /// The rows that `\plot` draws.
        PLOT_ROWS: usize = 2_000_000, show_count(PLOT_ROWS as u64, "row"), "It is refused.";
        /// The conflicting rows that a note names.
        CONFLICTS_TOLD: usize = 3, show_count(CONFLICTS_TOLD as u64, "row"), "The note says how many there are in all.";
        /// The names that a message lists.
        NAMES_TOLD: usize = crate::error::NAMES_TOLD, show_count(NAMES_TOLD as u64, "name"), "It says how many more there are.";
        /// The notices of one kind that a run gives and records.
        NOTICES_TOLD: usize = 20, show_count(NOTICES_TOLD as u64, "notice"), "The last one says how many more there are.";
    }
}
