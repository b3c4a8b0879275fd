//! The tables of a queue in PostgreSQL, in a schema of their own.

use tokio_postgres::{Client, GenericClient};

/// The version of the tables that this program writes.
pub(super) const FORMAT: i64 = 2;

/// The upgrades from each version to the next, the first from version 1.
const UPGRADES: [Upgrade; 1] = [Upgrade {
    statements: "
ALTER TABLE windrow_queue.groups ADD COLUMN request_id text;
CREATE TABLE windrow_queue.measured (
    work text PRIMARY KEY, bytes_per_cost double precision NOT NULL, used bigint NOT NULL
);
CREATE INDEX measured_used ON windrow_queue.measured (used);
",
    least: 1,
}];

/// An upgrade of the tables by one version.
struct Upgrade {
    statements: &'static str,
    /// The least version whose programs may go on writing beside newer ones. A running program of a lower version is
    /// refused by its next statement.
    least: i64,
}

/// The key of the advisory lock that each transaction that writes takes first: `windrowq`.
pub(super) const QUEUE_LOCK: i64 = 0x7769_6e64_726f_7771;

/// The tables of version 1. `counts` is kept by triggers, once for each statement.
const TABLES: &str = "
CREATE SCHEMA windrow_queue;
CREATE SEQUENCE windrow_queue.tokens;
CREATE SEQUENCE windrow_queue.changes;
CREATE TABLE windrow_queue.numbers (name text PRIMARY KEY, value double precision NOT NULL);
CREATE TABLE windrow_queue.groups (
    id bigserial PRIMARY KEY, name text NOT NULL UNIQUE, created bigint NOT NULL, client text NOT NULL,
    key text, digest text, request text NOT NULL, trace text, total bigint NOT NULL, open bigint NOT NULL,
    done bigint NOT NULL, cancelled bigint NOT NULL, finished bigint
);
CREATE UNIQUE INDEX groups_key ON windrow_queue.groups (client, key) WHERE key IS NOT NULL;
CREATE INDEX groups_finished ON windrow_queue.groups (finished, id) WHERE finished IS NOT NULL;
CREATE TABLE windrow_queue.clients (name text PRIMARY KEY, open bigint NOT NULL);
CREATE TABLE windrow_queue.jobs (
    id bigserial PRIMARY KEY, group_id bigint NOT NULL, number bigint NOT NULL, client text NOT NULL,
    set_name text NOT NULL, symbol text NOT NULL, work text NOT NULL, priority text NOT NULL,
    state text NOT NULL, rank bigint NOT NULL, due bigint NOT NULL, attempts bigint NOT NULL DEFAULT 0,
    deaths bigint NOT NULL DEFAULT 0, batch_limit bigint NOT NULL DEFAULT 0, token bigint NOT NULL DEFAULT 0,
    lease_until bigint NOT NULL DEFAULT 0, worker text NOT NULL DEFAULT '',
    progress double precision NOT NULL DEFAULT 0, cost bigint NOT NULL, created bigint NOT NULL,
    started bigint, finished bigint, cancels boolean NOT NULL DEFAULT false, errors text NOT NULL DEFAULT '',
    change bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE UNIQUE INDEX jobs_name ON windrow_queue.jobs (group_id, number);
CREATE INDEX jobs_change ON windrow_queue.jobs (group_id, change);
CREATE INDEX jobs_waiting ON windrow_queue.jobs (rank, id) WHERE state = 'queued';
CREATE INDEX jobs_work ON windrow_queue.jobs (work, rank, id) WHERE state = 'queued';
CREATE INDEX jobs_open ON windrow_queue.jobs (work, symbol) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_running ON windrow_queue.jobs (token) WHERE state = 'running';
CREATE TABLE windrow_queue.counts (
    state text, priority text, jobs bigint NOT NULL, cost numeric NOT NULL, PRIMARY KEY (state, priority)
);
CREATE FUNCTION windrow_queue.count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO windrow_queue.counts AS c
        SELECT state, priority, count(*), sum(cost) FROM inserted GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (state, priority) DO UPDATE SET jobs = c.jobs + excluded.jobs, cost = c.cost + excluded.cost;
    RETURN NULL;
END $$;
CREATE FUNCTION windrow_queue.count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE windrow_queue.counts AS c SET jobs = c.jobs - d.jobs, cost = c.cost - d.cost
        FROM (SELECT state, priority, count(*) AS jobs, sum(cost) AS cost FROM deleted GROUP BY 1, 2) AS d
        WHERE c.state = d.state AND c.priority = d.priority;
    RETURN NULL;
END $$;
CREATE FUNCTION windrow_queue.count_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO windrow_queue.counts AS c
        SELECT state, priority, sum(jobs), sum(cost) FROM (
            SELECT state, priority, -1 AS jobs, -cost AS cost FROM before
            UNION ALL SELECT state, priority, 1, cost FROM after
        ) AS moved GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (state, priority) DO UPDATE SET jobs = c.jobs + excluded.jobs, cost = c.cost + excluded.cost;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_inserted AFTER INSERT ON windrow_queue.jobs REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION windrow_queue.count_inserted();
CREATE TRIGGER jobs_deleted AFTER DELETE ON windrow_queue.jobs REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION windrow_queue.count_deleted();
CREATE TRIGGER jobs_moved AFTER UPDATE ON windrow_queue.jobs REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION windrow_queue.count_moved();
";

/// The versions of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFormat {
    /// The version of the tables.
    pub(super) format: i64,
    /// The least version whose programs may write them.
    pub(super) least: i64,
}

/// Creates the tables unless they exist, upgrades older ones, and returns their versions. Several processes may do so
/// at the same time.
pub(super) async fn prepare_tables(
    client: &mut Client,
) -> Result<QueueFormat, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&QUEUE_LOCK]).await?;
    let known = "SELECT to_regnamespace('windrow_queue') IS NOT NULL";
    let known: bool = transaction.query_one(known, &[]).await?.get(0);
    if !known {
        transaction.batch_execute(TABLES).await?;
        write_format(&transaction, QueueFormat { format: 1, least: 1 }).await?;
    }
    let mut known = read_format(&transaction).await?;
    for upgrade in UPGRADES.iter().skip(usize::try_from(known.format - 1).unwrap_or(usize::MAX)) {
        transaction.batch_execute(upgrade.statements).await?;
        known = QueueFormat { format: known.format + 1, least: upgrade.least };
        write_format(&transaction, known).await?;
    }
    transaction.commit().await?;
    Ok(known)
}

async fn read_format(client: &impl GenericClient) -> Result<QueueFormat, tokio_postgres::Error> {
    let sql = "SELECT coalesce(max(value) FILTER (WHERE name = 'format'), 0)::bigint, \
        coalesce(max(value) FILTER (WHERE name = 'least_format'), 1)::bigint FROM windrow_queue.numbers";
    let row = client.query_one(sql, &[]).await?;
    Ok(QueueFormat { format: row.get(0), least: row.get(1) })
}

async fn write_format(
    client: &impl GenericClient,
    QueueFormat { format, least }: QueueFormat,
) -> Result<(), tokio_postgres::Error> {
    let sql = "INSERT INTO windrow_queue.numbers VALUES ('format', $1), ('least_format', $2) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    client.execute(sql, &[&(format as f64), &(least as f64)]).await.map(|_| ())
}
