//! The table of limits.

use std::time::Duration;

use super::{LimitEntry, show_bytes, show_count, show_duration};

/// Declares each limit as a constant and as a row of [`all_limits`]. The doc comment of a row is shown to users.
macro_rules! limits {
    ($($group:literal {
        $($(#[doc = $bounds:literal])+ $name:ident: $type:ty = $value:expr, $shown:expr, $past:literal;)*
    })*) => {
        $($($(#[doc = $bounds])+ pub const $name: $type = $value;)*)*

        /// Returns all limits, in the order in which they are shown.
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
        /// The length of a statement after its template is rendered.
        STATEMENT_BYTES: usize = 16 << 20, show_bytes(STATEMENT_BYTES as u64), "The statement is refused.";
        /// The nesting depth of expressions and queries in a statement.
        STATEMENT_DEPTH: usize = 200, show_count(STATEMENT_DEPTH as u64, "level"), "The statement is refused.";
        /// The nesting depth of CASE in CASE. If one of them is wrong, the parser tries each of them twice.
        STATEMENT_CASES: usize = 16, show_count(STATEMENT_CASES as u64, "level"), "The statement is refused; the error names the place.";
        /// The operators of one expression: `a + b + c` has two. Plans of long chains are walked recursively, and
        /// the time to plan them grows with the square of their length.
        EXPRESSION_OPERATORS: usize = 1_000, show_count(EXPRESSION_OPERATORS as u64, "operator"), "The statement is refused; the error names the place.";
        /// The tables and queries that a statement combines by JOIN, UNION, EXCEPT, INTERSECT and commas.
        STATEMENT_PARTS: usize = 500, show_count(STATEMENT_PARTS as u64, "part"), "The statement is refused; the error names the place.";
        /// The steps of a plan before it is optimised. A part that is read under several names counts each time.
        PLAN_NODES: u64 = 20_000, show_count(PLAN_NODES, "step"), "The statement is refused.";
        /// The length of a window frame (`ROWS BETWEEN n PRECEDING ...`) that is computed while the rows of a group
        /// stream by.
        FRAME_ROWS: i64 = 1_000_000, show_count(FRAME_ROWS as u64, "row"), "All rows of a group are held in memory at once.";
        /// The tags, filters and loop iterations of a template.
        TEMPLATE_STEPS: u64 = 400_000, show_count(TEMPLATE_STEPS, "step"), "The template is refused.";
        /// The length of one tag of a template.
        TEMPLATE_TAG: usize = 16 << 10, show_bytes(TEMPLATE_TAG as u64), "The template is refused; the error names the place.";
        /// The nesting depth of lists and mappings in a value that a template writes.
        TEMPLATE_DEPTH: usize = 64, show_count(TEMPLATE_DEPTH as u64, "level"), "The template is refused; the error names the place.";
        /// The depth of calls between macros of a template.
        TEMPLATE_CALLS: usize = 100, show_count(TEMPLATE_CALLS as u64, "call"), "The template is refused.";
        /// The nesting depth of `windrow.yaml` and of the header of a feature set.
        YAML_DEPTH: usize = 64, show_count(YAML_DEPTH as u64, "level"), "The file is refused.";
        /// The values of `windrow.yaml` and of a header. The values behind an alias count each time that it is
        /// used.
        YAML_NODES: usize = 250_000, show_count(YAML_NODES as u64, "value"), "The file is refused.";
    }
    "Sources" {
        /// The files of a source.
        SOURCE_FILES: usize = 1 << 24, show_count(SOURCE_FILES as u64, "file"), "The source is refused.";
        /// The files of a target or of a CSV source that are kept open while they are read, so that no commit can
        /// take them away.
        TARGET_FILES_HELD: usize = 256, show_count(TARGET_FILES_HELD as u64, "file"), "The files are opened when they are read; a file that was removed by then is an error.";
        /// The number of times that a local target is listed again because runs commit into it.
        LISTED_AGAIN: usize = 50, show_count(LISTED_AGAIN as u64, "time"), "The read fails with an error.";
        /// The number of times that a target in an object store is listed again because runs commit into it.
        LISTED_AGAIN_REMOTE: usize = 3, show_count(LISTED_AGAIN_REMOTE as u64, "time"), "The read fails with an error.";
        /// The files whose footers an engine caches.
        FOOTERS_KEPT: usize = 65_536, show_count(FOOTERS_KEPT as u64, "file"), "The oldest footers are dropped, and read again when they are needed.";
        /// The threads that read footers of remote files at once. If more threads compute, that number is used.
        FOOTER_READERS: usize = 64, show_count(FOOTER_READERS as u64, "thread"), "Files wait for their turn.";
        /// The web addresses that are requested at once when a source is listed.
        WEB_ADDRESSES_AT_ONCE: usize = 16, show_count(WEB_ADDRESSES_AT_ONCE as u64, "request"), "The other requests wait.";
        /// The size up to which a file is read or fetched in one piece.
        FILE_READ_WHOLE: u64 = 1 << 20, show_bytes(FILE_READ_WHOLE), "A larger file is read column by column.";
        /// The bytes of remote files that each partition opens ahead.
        BYTES_AHEAD: u64 = 8 << 20, show_bytes(BYTES_AHEAD), "The next files wait.";
        /// The row groups that each partition prefetches.
        ROW_GROUPS_AHEAD: usize = 2, show_count(ROW_GROUPS_AHEAD as u64, "row group"), "The next row groups wait.";
        /// The connections that a PostgreSQL source opens.
        SOURCE_CONNECTIONS: usize = 64, show_count(SOURCE_CONNECTIONS as u64, "connection"), "Ranges of symbols wait for a connection.";
    }
    "Memory and execution" {
        /// The smallest `memory_limit`.
        MEMORY_LEAST: u64 = 128_000_000, show_bytes(MEMORY_LEAST), "A smaller limit is refused.";
        /// The memory that the process may use beyond `memory_limit`, or a quarter of the limit if that is more.
        MEMORY_SLACK: u64 = 256 << 20, show_bytes(MEMORY_SLACK), "The command fails with an error.";
        /// The temporary files of sorts, exchanges and shared rows.
        SPILLED_BYTES: u64 = 100 << 30, show_bytes(SPILLED_BYTES), "The command fails with an error.";
        /// The spilled files that a sort merges at once under a memory limit.
        SPILL_FAN_IN: usize = 16, show_count(SPILL_FAN_IN as u64, "file"), "The sort takes more passes.";
        /// The rows up to which one side of a cross join is held in memory while the other side streams by.
        CROSS_JOIN_FEW: usize = 1024, show_count(CROSS_JOIN_FEW as u64, "row"), "The side with fewer rows is held.";
        /// The stack of a thread that plans or computes.
        PLAN_STACK: usize = 64 << 20, show_bytes(PLAN_STACK as u64), "The limits on statements keep plans within it.";
        /// The threads that read and flush files, in addition to one for each worker.
        FILE_THREADS: usize = 6, show_count(FILE_THREADS as u64, "thread"), "Files wait for their turn.";
        /// The time that a stopped command has to leave everything as it was.
        STOP_GRACE: Duration = Duration::from_millis(500), show_duration(STOP_GRACE), "The command ends; the next run cleans up.";
        /// The same for a target on a server.
        STOP_GRACE_REMOTE: Duration = Duration::from_millis(900), show_duration(STOP_GRACE_REMOTE), "The command ends; the next run cleans up.";
    }
    "Writing" {
        /// The rows of a row group; fewer under a memory limit.
        ROW_GROUP_ROWS: usize = 128 * 1024, show_count(ROW_GROUP_ROWS as u64, "row"), "The next row group begins.";
        /// The closed files of a partition that are still being flushed to the disk or the store.
        FILES_FLUSHED: usize = 16, show_count(FILES_FLUSHED as u64, "file"), "The writer waits.";
        /// The bytes of one part of an upload.
        UPLOAD_PART: usize = 8 << 20, show_bytes(UPLOAD_PART as u64), "The next part begins.";
        /// The same under a memory limit.
        UPLOAD_PART_LIMITED: usize = 5 << 20, show_bytes(UPLOAD_PART_LIMITED as u64), "The next part begins.";
        /// The parts of one file in an object store.
        UPLOAD_PARTS: usize = 10_000, show_count(UPLOAD_PARTS as u64, "part"), "The run fails with an error; `partition_by` makes more and smaller files.";
        /// The bytes of rows that one transaction copies into a table. Each partition holds two such chunks: one is
        /// filled while the other is sent.
        COPY_CHUNK: usize = 4 << 20, show_bytes(COPY_CHUNK as u64), "The writer waits.";
    }
    "Commits" {
        /// The number of times that a run starts again after files or a server failed for a moment.
        RUN_AGAIN: usize = 3, show_count(RUN_AGAIN as u64, "time"), "The run fails with the error of the last attempt.";
        /// The time that a commit waits between creating new `partition_by` folders and the exchange, so that
        /// readers that list folder by folder know them.
        FOLDERS_LISTED: Duration = Duration::from_secs(2), show_duration(FOLDERS_LISTED), "A reader that lists more slowly may miss the rows of new folders.";
        /// The time that a commit keeps the old directory after the exchange, for readers that have opened it or
        /// one of its folders, but not listed it yet.
        OLD_STATE_LISTED: Duration = Duration::from_millis(50), show_duration(OLD_STATE_LISTED), "A reader that takes longer finds the directory empty.";
        /// The interval at which a run renews its lease in an object store.
        LEASE_BEAT: Duration = Duration::from_secs(4), show_duration(LEASE_BEAT), "A lease that is not renewed counts as dead after `lease_dead`.";
        /// The time for which a lease counts as held without being renewed.
        LEASE_DEAD: Duration = Duration::from_secs(30), show_duration(LEASE_DEAD), "The next run takes the target over.";
        /// The uploads that a run writes into its lease as soon as they begin.
        UPLOADS_NOTED: usize = 64, show_count(UPLOADS_NOTED as u64, "upload"), "Further uploads are written with the next renewal of the lease.";
        /// The pages of 1,000 uploads that a run searches for uploads of dead runs.
        UPLOAD_PAGES: usize = 100, show_count(UPLOAD_PAGES as u64, "page"), "The remaining uploads are left to the next runs.";
        /// The uploads that a commit completes at once.
        UPLOADS_COMPLETED: usize = 16, show_count(UPLOADS_COMPLETED as u64, "upload"), "The others wait.";
        /// The objects that are removed at once.
        OBJECTS_REMOVED: usize = 16, show_count(OBJECTS_REMOVED as u64, "object"), "The others wait.";
        /// The time that a run waits for the lock of a table that a dead run of this machine held.
        LOCK_OF_A_DEAD_RUN: Duration = Duration::from_secs(30), show_duration(LOCK_OF_A_DEAD_RUN), "The run is refused.";
        /// The time that a run waits for the lock of a table that a run of another machine holds.
        LOCK_OF_ANOTHER_MACHINE: Duration = Duration::from_secs(5), show_duration(LOCK_OF_ANOTHER_MACHINE), "The run is refused.";
    }
    "Servers" {
        /// The concurrent requests to one bucket or web server.
        REQUESTS_AT_ONCE: usize = 128, show_count(REQUESTS_AT_ONCE as u64, "request"), "The others wait.";
        /// The time for which an object store or web server may send nothing of its response.
        ANSWER_SILENCE: Duration = Duration::from_secs(20), show_duration(ANSWER_SILENCE), "The request is sent again.";
        /// The time for which a store may keep asking a request to slow down.
        SLOW_DOWN: Duration = Duration::from_secs(600), show_duration(SLOW_DOWN), "The command fails with an error.";
        /// The longest pause of all requests to a store that asks to slow down.
        SLOW_DOWN_PAUSE: Duration = Duration::from_secs(8), show_duration(SLOW_DOWN_PAUSE), "The requests go on after it.";
        /// The time that a connection waits for an unreachable PostgreSQL server.
        SERVER_SILENCE: Duration = Duration::from_secs(60), show_duration(SERVER_SILENCE), "The connection counts as broken, and the call is retried.";
        /// The time for which a call is retried, counted from its first failure. `timeout_seconds` overrides it.
        RETRY_PATIENCE: Duration = Duration::from_secs(60), show_duration(RETRY_PATIENCE), "The call fails with its last error.";
        /// The longest wait before the second attempt of a call; it doubles with each attempt.
        RETRY_WAIT_FIRST: Duration = Duration::from_millis(200), show_duration(RETRY_WAIT_FIRST), "The call is retried after it.";
        /// The longest wait before any attempt of a call.
        RETRY_WAIT: Duration = Duration::from_secs(10), show_duration(RETRY_WAIT), "The call is retried after it.";
        /// The failed calls in a row after which a server is left alone.
        SERVER_FAILURES: usize = 5, show_count(SERVER_FAILURES as u64, "call"), "The server gets no calls for `server_left_alone`.";
        /// The time for which a failing server gets no calls.
        SERVER_LEFT_ALONE: Duration = Duration::from_secs(5), show_duration(SERVER_LEFT_ALONE), "The server is called again.";
    }
    "Queue" {
        /// The jobs in a queue that have not ended.
        QUEUED_JOBS: u64 = 1_000_000, show_count(QUEUED_JOBS, "job"), "The request is refused with 429, and says when to come again.";
        /// The jobs of one client in a queue that have not ended.
        QUEUED_JOBS_PER_CLIENT: u64 = 500_000, show_count(QUEUED_JOBS_PER_CLIENT, "job"), "The request is refused with 429, and says when to come again.";
        /// The ended jobs that a queue keeps.
        HISTORY_JOBS: u64 = 100_000, show_count(HISTORY_JOBS, "job"), "The oldest groups of jobs are removed.";
        /// The age of the ended jobs that a queue keeps.
        HISTORY_AGE: Duration = Duration::from_secs(7 * 24 * 3600), show_duration(HISTORY_AGE), "Older groups of jobs are removed.";
        /// The sets and parameters of whose batches a queue remembers how much memory they took.
        MEASURED_WORKS: u64 = 1_000, show_count(MEASURED_WORKS, "set"), "Those that were not asked for the longest time are forgotten, and measured anew.";
        /// The time for which a worker has a batch before it must renew its lease.
        JOB_LEASE: Duration = Duration::from_secs(15), show_duration(JOB_LEASE), "Another worker takes the jobs; the first one commits nothing.";
        /// The transient errors of one job.
        JOB_ATTEMPTS: u32 = 3, show_count(JOB_ATTEMPTS as u64, "attempt"), "The job is dead, and keeps its errors.";
        /// The deaths of workers while they compute one job alone.
        DEATHS_ALONE: u32 = 5, show_count(DEATHS_ALONE as u64, "death"), "The job is dead, and keeps its errors.";
        /// The errors that a job keeps.
        JOB_ERRORS: usize = 20, show_count(JOB_ERRORS as u64, "error"), "The oldest are forgotten.";
        /// The longest wait before a job is tried again.
        RETRY_LONGEST: Duration = Duration::from_secs(300), show_duration(RETRY_LONGEST), "The job is tried again after it.";
        /// The distance of a due time or of the end of a lease from now that no clock writes unless it was wrong.
        CLOCK_AHEAD: Duration = Duration::from_secs(600), show_duration(CLOCK_AHEAD), "The job may be claimed at once.";
        /// The time by which a job must be older to go before one of the next higher priority.
        PRIORITY_HEAD_START: Duration = Duration::from_secs(300), show_duration(PRIORITY_HEAD_START), "The older job goes first.";
        /// The jobs that wait and are looked at for one batch.
        CLAIM_CANDIDATES: usize = 10_000, show_count(CLAIM_CANDIDATES as u64, "job"), "The others go into the next batch.";
        /// The groups of ended jobs that are removed at once, beyond those that ended just then.
        PRUNED_GROUPS: u64 = 100, show_count(PRUNED_GROUPS, "group"), "The others are removed the next time.";
        /// The jobs ahead of a waiting one that are counted for it.
        AHEAD_COUNTED: u64 = 10_000, show_count(AHEAD_COUNTED, "job"), "The count stops there.";
        /// The changes of a group that are read at once.
        CHANGES_READ: u64 = 500, show_count(CHANGES_READ, "job"), "The others are read next.";
        /// The connections of one process to a PostgreSQL queue.
        QUEUE_CONNECTIONS: usize = 8, show_count(QUEUE_CONNECTIONS as u64, "connection"), "Further requests wait for one.";
        /// The time after which a PostgreSQL queue ends a session that stopped in the middle of a transaction.
        STOPPED_WRITER: Duration = Duration::from_secs(5), show_duration(STOPPED_WRITER), "The server rolls it back; the others go on.";
        /// The time that a request waits for the others of a PostgreSQL queue.
        WRITER_PATIENCE: Duration = Duration::from_secs(10), show_duration(WRITER_PATIENCE), "The request fails, and may be sent again.";
        /// The requests that share one transaction of a SQLite queue.
        WRITES_TOGETHER: usize = 256, show_count(WRITES_TOGETHER as u64, "request"), "The others go into the next transaction.";
        /// The requests that wait for a transaction of a SQLite queue.
        WRITES_WAITING: usize = 1_024, show_count(WRITES_WAITING as u64, "request"), "Further requests wait at their senders.";
    }
    "Cache" {
        /// The bytes of the results that a cache keeps in memory.
        CACHE_MEMORY: u64 = 256_000_000, show_bytes(CACHE_MEMORY), "The results that are read least leave the memory; they stay durable.";
        /// The bytes of the results that a cache keeps in its directory, bucket or table.
        CACHE_DURABLE: u64 = 10_000_000_000, show_bytes(CACHE_DURABLE), "The oldest results are removed, and computed again when they are asked for.";
        /// The bytes of one result in a cache, before it is compressed.
        CACHE_ENTRY: u64 = 512_000_000, show_bytes(CACHE_ENTRY), "The result is refused with an error.";
        /// The bytes of one result that a cache keeps in memory.
        CACHE_ENTRY_IN_MEMORY: u64 = 32_000_000, show_bytes(CACHE_ENTRY_IN_MEMORY), "A larger result is read from the durable tier each time.";
        /// The results that are encoded and written into a cache together.
        CACHE_CHUNK: usize = 64, show_count(CACHE_CHUNK as u64, "result"), "The next chunk begins.";
        /// The bytes of the results that are encoded and written into a cache together, unless one of them has more.
        CACHE_CHUNK_BYTES: usize = 8 << 20, show_bytes(CACHE_CHUNK_BYTES as u64), "The next chunk begins.";
        /// The chunks of results that one call writes into a cache at once.
        CACHE_CHUNKS_AT_ONCE: usize = 4, show_count(CACHE_CHUNKS_AT_ONCE as u64, "chunk"), "The other chunks wait.";
        /// The objects of one chunk that are written into the bucket of a cache, or removed from it, at once.
        CACHE_OBJECTS_AT_ONCE: usize = 16, show_count(CACHE_OBJECTS_AT_ONCE as u64, "object"), "The other objects wait.";
        /// The connections of one process to the database of a cache.
        CACHE_CONNECTIONS: usize = 4, show_count(CACHE_CONNECTIONS as u64, "connection"), "Further calls wait for one.";
        /// The parts of a cache, of 256, that are listed at once when old results are removed.
        CACHE_SHELVES_AT_ONCE: usize = 4, show_count(CACHE_SHELVES_AT_ONCE as u64, "part"), "The other parts wait.";
        /// The results that are removed from a cache each time that old ones are looked for.
        CACHE_PRUNED: usize = 20_000, show_count(CACHE_PRUNED as u64, "result"), "The others are removed the next time.";
        /// The results that are removed from a cache by one statement or one task.
        CACHE_REMOVED_TOGETHER: usize = 1_000, show_count(CACHE_REMOVED_TOGETHER as u64, "result"), "The others follow.";
        /// The interval at which a service removes old results from its cache.
        CACHE_PRUNE_INTERVAL: Duration = Duration::from_secs(60), show_duration(CACHE_PRUNE_INTERVAL), "The cache may exceed its size by what came since.";
        /// The bytes of remote files that a service keeps on its disk.
        FILE_CACHE_BYTES: u64 = 10_000_000_000, show_bytes(FILE_CACHE_BYTES), "The bytes that were used longest ago are removed, and fetched again when they are needed.";
        /// The files in which a service keeps bytes of remote files.
        FILE_CACHE_FILES: u64 = 250_000, show_count(FILE_CACHE_FILES, "file"), "The files that were used longest ago are removed.";
        /// The bytes of a remote file that are kept together.
        FILE_CACHE_SEGMENT: usize = 16 << 20, show_bytes(FILE_CACHE_SEGMENT as u64), "The next file begins.";
        /// The free bytes of the disk that the cache of remote files leaves to others.
        FILE_CACHE_DISK_LEFT: u64 = 1_000_000_000, show_bytes(FILE_CACHE_DISK_LEFT), "Bytes that were used longest ago are removed, and nothing new is kept.";
        /// The time for which nothing is kept after the cache of remote files could not be written.
        FILE_CACHE_PAUSE: Duration = Duration::from_secs(60), show_duration(FILE_CACHE_PAUSE), "Writing is tried again.";
        /// The time between two notes that kept bytes of a remote file were used.
        FILE_CACHE_TOUCH: Duration = Duration::from_secs(60), show_duration(FILE_CACHE_TOUCH), "The next use is noted.";
        /// The age from which the time of a file of a web server, whose clock may count whole seconds, tells its bytes
        /// from all others.
        FILE_CACHE_SETTLED: Duration = Duration::from_secs(60), show_duration(FILE_CACHE_SETTLED), "The bytes of a younger file are not kept.";
        /// The age of a temporary name in a cache that a killed writer left.
        CACHE_LEFTOVER_AGE: Duration = Duration::from_secs(3600), show_duration(CACHE_LEFTOVER_AGE), "An older one is removed with the old results.";
    }
    "Traces" {
        /// The spans of a process that wait for the collector.
        SPANS_WAITING: usize = 2_048, show_count(SPANS_WAITING as u64, "span"), "Further spans are lost; the log says how many.";
        /// The spans that are sent to the collector in one request.
        SPANS_TOGETHER: usize = 512, show_count(SPANS_TOGETHER as u64, "span"), "The others are sent in the next one.";
        /// The longest time that a span waits for others before it is sent.
        SPANS_PAUSE: Duration = Duration::from_secs(2), show_duration(SPANS_PAUSE), "What waits is sent.";
        /// The time that the collector has to take spans.
        COLLECTOR_PATIENCE: Duration = Duration::from_secs(5), show_duration(COLLECTOR_PATIENCE), "The spans are lost; the log says how many.";
        /// The bytes of an answer of the collector.
        COLLECTOR_ANSWER: usize = 64 << 10, show_bytes(COLLECTOR_ANSWER as u64), "The spans count as lost.";
        /// The interval at which the log tells of lost spans.
        SPANS_LOST_TOLD: Duration = Duration::from_secs(60), show_duration(SPANS_LOST_TOLD), "They are counted until then.";
        /// The time that spans have to reach the collector at shutdown, within the grace time.
        SPANS_FLUSH: Duration = Duration::from_secs(5), show_duration(SPANS_FLUSH), "The spans are lost.";
        /// The requests whose traces a batch of their jobs is linked with.
        SPAN_LINKS: usize = 100, show_count(SPAN_LINKS as u64, "request"), "The traces of the others end with their place in the queue.";
        /// The groups, and the jobs, that a line of the log about a batch names.
        LOGGED_NAMES: usize = 8, show_count(LOGGED_NAMES as u64, "name"), "The line says how many there are.";
    }
    "Service" {
        /// The jobs that a worker computes as one plan.
        BATCH_JOBS: usize = 500, show_count(BATCH_JOBS as u64, "job"), "The others go into the next batch.";
        /// The expected cost of the jobs that a worker computes as one plan: rows times outputs. One job alone may cost
        /// more.
        BATCH_COST: u64 = 8_000_000, show_count(BATCH_COST, "value"), "The others go into the next batch.";
        /// The interval at which a worker reports the progress of its batch.
        PROGRESS_BEAT: Duration = Duration::from_secs(1), show_duration(PROGRESS_BEAT), "Callers see the progress as it was.";
        /// The time that the queue has to answer a question about a job.
        QUEUE_PATIENCE: Duration = Duration::from_secs(15), show_duration(QUEUE_PATIENCE), "The request fails with 503; the queue is left alone for `endpoint_left_alone`.";
        /// The time that the queue has to take or return many jobs.
        QUEUE_WRITE_PATIENCE: Duration = Duration::from_secs(60), show_duration(QUEUE_WRITE_PATIENCE), "The request fails with 503; the queue is left alone for `endpoint_left_alone`.";
        /// The longest pause of a worker between two looks at an empty queue.
        QUEUE_LOOK: Duration = Duration::from_secs(1), show_duration(QUEUE_LOOK), "The worker looks again.";
        /// The number of times that a batch is computed again since its inputs changed under it.
        INPUTS_CHANGED: usize = 3, show_count(INPUTS_CHANGED as u64, "time"), "The attempt fails, and the jobs are tried again later.";
        /// The planned sets that a process keeps, each with its parameters.
        PLANNED_SETS: usize = 256, show_count(PLANNED_SETS as u64, "set"), "The one that was used longest ago is planned again when it is needed.";
        /// The age up to which the state of a local source counts as known.
        INPUTS_CHECK: Duration = Duration::from_secs(1), show_duration(INPUTS_CHECK), "The source is looked at again.";
        /// The same of a source on a server.
        INPUTS_CHECK_REMOTE: Duration = Duration::from_secs(10), show_duration(INPUTS_CHECK_REMOTE), "The source is looked at again.";
        /// The time that looking at a source may take.
        INPUTS_PATIENCE: Duration = Duration::from_secs(5), show_duration(INPUTS_PATIENCE), "The request fails with 503, and may be sent again.";
        /// The failures in a row after which a source, a target or the queue is left alone.
        ENDPOINT_FAILURES: u32 = 3, show_count(ENDPOINT_FAILURES as u64, "failure"), "It gets no calls for `endpoint_left_alone`; requests that need it fail at once.";
        /// The time for which a failing source, target or queue gets no calls.
        ENDPOINT_LEFT_ALONE: Duration = Duration::from_secs(5), show_duration(ENDPOINT_LEFT_ALONE), "It is tried again by one call.";
        /// The interval at which a process looks at the pressure on memory and processors.
        PRESSURE_LOOK: Duration = Duration::from_secs(2), show_duration(PRESSURE_LOOK), "The number of batches stays as it is.";
        /// The part of the last 10 s, in percent, in which something waited for memory, as Linux reports it.
        PRESSURE_MEMORY: f64 = 10.0, format!("{PRESSURE_MEMORY} %"), "One batch less may run at a time, down to `min_workers`.";
        /// The same for processors.
        PRESSURE_CPU: f64 = 80.0, format!("{PRESSURE_CPU} %"), "One batch less may run at a time, down to `min_workers`.";
        /// The time without pressure after which one batch more may run, up to `max_workers`.
        PRESSURE_RECOVERY: Duration = Duration::from_secs(30), show_duration(PRESSURE_RECOVERY), "The number of batches stays as it is until then.";
        /// The pause of a worker between two looks at a target that another run has to itself.
        TARGET_HELD_LOOK: Duration = Duration::from_millis(200), show_duration(TARGET_HELD_LOOK), "The worker looks again.";
        /// The time that a batch waits for a target that another run has to itself.
        TARGET_HELD: Duration = Duration::from_secs(600), show_duration(TARGET_HELD), "The attempt fails, and the jobs are tried again later.";
        /// The symbols that one request may name, unless it asks for all.
        SYMBOLS_PER_REQUEST: usize = 100, show_count(SYMBOLS_PER_REQUEST as u64, "symbol"), "The request is refused with 400.";
        /// The feature sets that one request may name.
        SETS_PER_REQUEST: usize = 100, show_count(SETS_PER_REQUEST as u64, "set"), "The request is refused with 400.";
        /// The length of an idempotency key.
        IDEMPOTENCY_KEY: usize = 200, show_count(IDEMPOTENCY_KEY as u64, "character"), "The request is refused with 400.";
        /// The bytes of a request's body.
        BODY_BYTES: usize = 1 << 20, show_bytes(BODY_BYTES as u64), "The request is refused with 413.";
        /// The bytes of a longer body that are read and dropped, so that the caller reads the answer.
        BODY_DRAINED: usize = 8 << 20, show_bytes(BODY_DRAINED as u64), "The connection is closed.";
        /// The time in which a body must come.
        BODY_PATIENCE: Duration = Duration::from_secs(30), show_duration(BODY_PATIENCE), "The request is refused with 408.";
        /// The time in which the head of a request must come.
        HEAD_PATIENCE: Duration = Duration::from_secs(10), show_duration(HEAD_PATIENCE), "The connection is closed.";
        /// The bytes of the head of a request.
        HEAD_BYTES: usize = 64 << 10, show_bytes(HEAD_BYTES as u64), "The request is refused with 431.";
        /// The time after which an answer that has not begun is given up, the time of `wait` excluded.
        ANSWER_PATIENCE: Duration = Duration::from_secs(60), show_duration(ANSWER_PATIENCE), "The request fails with 504.";
        /// The connections of callers at the same time.
        CONNECTIONS: usize = 1_024, show_count(CONNECTIONS as u64, "connection"), "Further connections wait until one is closed.";
        /// The longest `wait` of a request for features.
        WAIT_LONGEST: Duration = Duration::from_secs(60), show_duration(WAIT_LONGEST), "The request is refused with 400.";
        /// The time for which a failed computation of features is not started again by the next request.
        FAILURE_KEPT: Duration = Duration::from_secs(5), show_duration(FAILURE_KEPT), "The next request starts a job again.";
        /// The jobs of misses that a process remembers, so that equal misses share them without asking the queue to.
        STARTED_JOBS: u64 = 100_000, show_count(STARTED_JOBS, "job"), "The queue finds the equal job.";
        /// The time for which it remembers them.
        STARTED_KNOWN: Duration = Duration::from_secs(600), show_duration(STARTED_KNOWN), "The queue finds the equal job.";
        /// The jobs that `GET /jobs` lists unless asked otherwise.
        JOBS_LISTED: usize = 100, show_count(JOBS_LISTED as u64, "job"), "The next page has the others.";
        /// The jobs that one page of `GET /jobs` may have.
        JOBS_LISTED_MOST: usize = 1_000, show_count(JOBS_LISTED_MOST as u64, "job"), "The request is refused with 400.";
        /// The event streams of a process that are open at the same time.
        EVENT_STREAMS: usize = 256, show_count(EVENT_STREAMS as u64, "stream"), "The request is refused with 503.";
        /// The longest time between a change of a job and its event.
        EVENT_LOOK: Duration = Duration::from_millis(500), show_duration(EVENT_LOOK), "The stream looks again.";
        /// The time that running batches have to end at shutdown.
        SERVE_GRACE: Duration = Duration::from_secs(30), show_duration(SERVE_GRACE), "The jobs go back to the queue.";
    }
    "Terminal and messages" {
        /// The depth to which files that `\i` runs may run other files.
        FILES_IN_FILES: usize = 16, show_count(FILES_IN_FILES as u64, "file"), "The innermost file is refused.";
        /// The rows that `\plot` draws.
        PLOT_ROWS: usize = 2_000_000, show_count(PLOT_ROWS as u64, "row"), "The plot is refused.";
        /// The conflicting rows that a notice names.
        CONFLICTS_TOLD: usize = 3, show_count(CONFLICTS_TOLD as u64, "row"), "The notice gives their total number.";
        /// The names that a message lists.
        NAMES_TOLD: usize = crate::error::NAMES_TOLD, show_count(NAMES_TOLD as u64, "name"), "The message says how many more there are.";
        /// The notices of one kind that a run reports and records.
        NOTICES_TOLD: usize = 20, show_count(NOTICES_TOLD as u64, "notice"), "The last one says how many more there are.";
    }
}
