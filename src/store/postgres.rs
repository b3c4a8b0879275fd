//! The location of a table of a PostgreSQL server as the user writes it, and connections to that
//! server.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Config, NoTls};

use super::retry::CallError;
use super::tls::{self, TlsTrust};
use super::url::check_variables_set;
use crate::error::{Error, Result, did_you_mean};
use crate::limits::SERVER_SILENCE;

/// A table and its server: `postgres://user@host/db?table=t`.
#[derive(Clone, PartialEq, Eq)]
pub struct PgLocation {
    config: Config,
    trust: Option<TlsTrust>,
    /// Schema and table; None for a query.
    table: Option<TableName>,
    query: Option<String>,
    /// The remaining options of the URL: names of [`TABLE_OPTIONS`] and their values.
    options: Vec<(String, String)>,
    shown: String,
}

/// The options of a URL that describe the table and are not sent to the server.
const TABLE_OPTIONS: [&str; 3] = ["layout", "partition", "connections"];

/// The options of a URL that describe the connection, with libpq's names.
const CONNECTION_OPTIONS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "connect_timeout",
    "application_name",
    "options",
    "host",
    "port",
    "user",
    "dbname",
    "target_session_attrs",
    "keepalives_idle",
];

impl fmt::Debug for PgLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for PgLocation {
    /// Writes the URL without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A table with its schema; without one, the server's search path decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The schema.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl TableName {
    fn parse(text: &str) -> Option<Self> {
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema.to_string()), table),
            None => (None, text),
        };
        let fine = |name: &str| !name.is_empty() && name.len() < 64 && !name.contains(['.', '\0']);
        (fine(table) && schema.as_deref().is_none_or(fine))
            .then(|| Self { schema, table: table.to_string() })
    }

    /// Returns the name of another table of the same schema.
    #[must_use]
    pub fn sibling_table(&self, table: impl Into<String>) -> Self {
        Self { schema: self.schema.clone(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    /// Writes the name as SQL takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quote_ident(schema))?;
        }
        f.write_str(&quote_ident(&self.table))
    }
}

/// Quotes an identifier for SQL.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl PgLocation {
    /// Returns whether the text is a URL of a PostgreSQL server.
    pub fn is(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Parses a URL. Missing parts are taken from PGUSER, PGPASSWORD and the defaults of libpq.
    ///
    /// # Errors
    /// The URL names no table or query, or both, or has an unknown option or an invalid value. No
    /// message contains the password.
    pub fn parse(text: &str) -> Result<Self> {
        const EXAMPLE: &str = "write postgres://user@host:5432/database?table=NAME";
        let location = Self::parse_url(text, EXAMPLE)?;
        if location.table.is_some() == location.query.is_some() {
            let why = "it names no table, or a query as well";
            return Err(Error::usage(format!("{}: {why}", location.shown)).hint(EXAMPLE));
        }
        Ok(location)
    }

    /// Parses the URL of a database, as [`PgLocation::parse`] does.
    ///
    /// # Errors
    /// The URL names a table or a query, or has an unknown option or an invalid value.
    pub fn parse_database(text: &str) -> Result<Self> {
        const EXAMPLE: &str = "write postgres://user@host:5432/database";
        let location = Self::parse_url(text, EXAMPLE)?;
        if location.table.is_some() || location.query.is_some() || !location.options.is_empty() {
            let why = "it names more than a database";
            return Err(Error::usage(format!("{}: {why}", location.shown)).hint(EXAMPLE));
        }
        Ok(location)
    }

    fn parse_url(text: &str, example: &'static str) -> Result<Self> {
        check_variables_set(text)?;
        let shown = without_password(text);
        let wrong = |why: &str| Error::usage(format!("{shown}: {why}")).hint(example);
        let (server, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut table, mut asked, mut options, mut rest, mut mode, mut root) =
            (None, None, Vec::new(), Vec::new(), None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value);
            match key {
                "table" => {
                    let named = TableName::parse(&value);
                    table = Some(named.ok_or_else(|| wrong("its table has no such name"))?);
                }
                "query" if !value.trim().is_empty() => asked = Some(value),
                "sslmode" => mode = Some(value),
                "sslrootcert" => root = Some(PathBuf::from(value)),
                "password" => {
                    return Err(wrong("the password stands among the options")
                        .hint("set PGPASSWORD, or write postgres://user:password@host/database"));
                }
                _ if TABLE_OPTIONS.contains(&key) => options.push((key.to_string(), value)),
                _ if CONNECTION_OPTIONS.contains(&key) => rest.push(pair),
                _ => {
                    let known = ["table", "query"]
                        .into_iter()
                        .chain(TABLE_OPTIONS)
                        .chain(CONNECTION_OPTIONS);
                    let known: Vec<&str> = known.collect();
                    return Err(Error::usage(format!("{shown}: unknown option {key}"))
                        .hint(did_you_mean(key, "options", known)));
                }
            }
        }
        let separator = if rest.is_empty() { "" } else { "?" };
        let mut config: Config = format!("{server}{separator}{}", rest.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| wrong(&describe_pg_error(&error)))?;
        if config.get_hosts().is_empty() {
            config.host("localhost");
        }
        if config.get_user().is_none() {
            config.user(
                std::env::var("PGUSER")
                    .or_else(|_| std::env::var("USER"))
                    .unwrap_or("postgres".to_string()),
            );
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        let trust = configure_tls(&mut config, mode.as_deref(), root).map_err(|why| wrong(&why))?;
        Ok(Self { config, trust, table, query: asked, options, shown })
    }

    /// The table.
    pub fn table(&self) -> Option<&TableName> {
        self.table.as_ref()
    }

    /// The query.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The value of one of windrow's own options of the URL.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether two URLs name the same table.
    pub fn is_same_table(&self, other: &Self) -> bool {
        let place = |location: &Self| {
            let config = &location.config;
            (location.server(), config.get_dbname().map(str::to_string))
        };
        let schema = |name: &TableName| name.schema.clone().unwrap_or_else(|| "public".to_string());
        match (&self.table, &other.table) {
            (Some(one), Some(two)) => {
                one.table == two.table && schema(one) == schema(two) && place(self) == place(other)
            }
            _ => false,
        }
    }

    /// The host and port, for messages.
    pub fn server(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            _ => "localhost".to_string(),
        };
        match self.config.get_ports().first() {
            Some(port) if *port != 5432 => format!("{host}:{port}"),
            _ => host,
        }
    }

    /// Creates a pool of at most `most` connections, which report `name` as their application name.
    ///
    /// # Errors
    /// Certificates cannot be read.
    pub fn create_pool(&self, name: &str, most: usize) -> Result<Pool> {
        let mut config = self.config.clone();
        config.application_name(name);
        // A failed machine sends nothing: let the system probe the connection and report it.
        config.tcp_user_timeout(SERVER_SILENCE);
        if config.get_keepalives_idle() > SERVER_SILENCE {
            config.keepalives_idle(SERVER_SILENCE / 2);
            config.keepalives_interval(SERVER_SILENCE / 6);
            config.keepalives_retries(3);
        }
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = match &self.trust {
            None => Manager::from_config(config, NoTls, manager),
            Some(trust) => Manager::from_config(config, tls::tls_connector(trust)?, manager),
        };
        let timeouts = Timeouts {
            wait: None,
            create: Some(SERVER_SILENCE),
            recycle: Some(SERVER_SILENCE / 6),
        };
        Pool::builder(manager)
            .max_size(most)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .build()
            .map_err(|error| Error::internal(format!("a pool of connections: {error}")))
    }

    /// Cancels a request of a connection whose caller no longer waits.
    pub async fn cancel_request(&self, token: CancelToken) {
        let _ = match &self.trust {
            None => token.cancel_query(NoTls).await,
            Some(trust) => match tls::tls_connector(trust) {
                Ok(connector) => token.cancel_query(connector).await,
                Err(_) => return,
            },
        };
    }

    /// Explains an error of this server to the user.
    pub fn to_call_error(&self, what: &str, error: &tokio_postgres::Error) -> CallError {
        let text = format!("{}: {what}: {}", self.server(), describe_pg_error(error));
        let code = error.code().map(SqlState::code);
        let hint = match code {
            Some("28P01" | "28000") => Some("set PGPASSWORD, or correct the user of the URL"),
            Some("3D000") => Some("create the database, or correct the URL"),
            Some("42501") => Some("grant the user of the URL this right"),
            Some("53100") => Some("free some space on the server"),
            Some("53300") => Some("allow this user more connections, or use fewer at a time"),
            Some("55P03") => Some("another session holds the table: pg_stat_activity names it"),
            Some(code) if code.starts_with("42") => Some("correct the name or the query"),
            Some(code) if code.starts_with("22") => Some("correct the data, or the set"),
            Some(_) => None,
            None if describe_pg_error(error).contains("certificate") => Some(
                "name the authority that signed it with sslrootcert=FILE, or use sslmode=require, which does not look at it",
            ),
            None if describe_pg_error(error).contains("TLS") => {
                Some("the server has no TLS: use sslmode=disable if the network is trusted")
            }
            None if describe_pg_error(error).contains("deserializing") => Some("correct the data"),
            None => Some("check that the server is up and the URL is right"),
        };
        let plain = Error::target(text);
        let explained = match hint {
            Some(hint) => plain.hint(hint),
            None => plain,
        };
        CallError { error: explained, transient: is_transient_error(error) }
    }
}

/// Takes a connection from a pool; the error reports whether to retry.
///
/// # Errors
/// The server cannot be reached, or rejects this user.
pub async fn acquire_connection(pool: &Pool, location: &PgLocation) -> Result<Object, CallError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => location.to_call_error("cannot connect", &error),
        error => CallError {
            error: Error::target(format!("{}: cannot connect: {error}", location.server())),
            transient: true,
        },
    })
}

/// Returns the message of the server or the connection, with its causes.
fn describe_pg_error(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}", error.message());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// Returns whether a retry may succeed: the server is unreachable, starting or stopping, or it aborted
/// one of several conflicting transactions.
fn is_transient_error(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        let text = describe_pg_error(error);
        let stays = ["certificate", "TLS", "invalid", "password", "lookup"];
        return error.is_closed() || !stays.iter().any(|word| text.contains(word));
    };
    let code = code.code();
    // Connection errors, conflicting transactions, too many connections, locks, and a server that is
    // stopping or starting.
    ["08", "40"].contains(&&code[..2])
        || ["53300", "55P03", "57P01", "57P02", "57P03", "55006"].contains(&code)
}

/// Configures encryption with libpq's modes; returns None for no encryption.
fn configure_tls(
    config: &mut Config,
    mode: Option<&str>,
    root: Option<PathBuf>,
) -> Result<Option<TlsTrust>, String> {
    let local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(host) => ["localhost", "127.0.0.1", "::1"].contains(&host.as_str()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    let mode = match mode {
        Some(mode) => mode,
        None if local && root.is_none() => "disable",
        None => "verify-full",
    };
    let (needed, trust) = match mode {
        "disable" => (SslMode::Disable, None),
        "prefer" => (SslMode::Prefer, Some(TlsTrust::Anybody)),
        "require" if root.is_none() => (SslMode::Require, Some(TlsTrust::Anybody)),
        "require" | "verify-full" => (SslMode::Require, Some(TlsTrust::Roots(root))),
        other => {
            return Err(format!(
                "sslmode is {other}, expected disable, prefer, require or verify-full"
            ));
        }
    };
    config.ssl_mode(needed);
    Ok(trust)
}

/// Returns the range of the first password in the URLs of a text.
pub fn password(text: &str) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let start = from + found + 3;
        let rest = &text[start..];
        let whole = start + rest.find([' ', '\'', '"', '\n']).unwrap_or(rest.len());
        let end = start + text[start..whole].find(['/', '?']).unwrap_or(whole - start);
        // A password may contain an unescaped @.
        let at = text[start..end].rfind('@').map_or(end, |at| start + at);
        if let Some(colon) = text[start..at].find(':').map(|colon| start + colon) {
            // Without an @ it is a port, or an unfinished URL.
            let port = at == end && text[colon + 1..at].chars().all(|c| c.is_ascii_digit());
            if !port && colon + 1 < at && text[colon + 1..at].chars().any(|c| c != 'x') {
                return Some(colon + 1..at);
            }
        }
        if let Some(option) = text[end..whole].find("password=") {
            let value = end + option + "password=".len();
            let stop = text[value..whole].find('&').map_or(whole, |stop| value + stop);
            if text[value..stop].chars().any(|c| c != 'x') {
                return Some(value..stop);
            }
        }
        from = whole.max(start);
    }
    None
}

/// Returns a URL without its password.
pub(super) fn without_password(text: &str) -> String {
    let Some(found) = password(text) else { return text.to_string() };
    match text[found.end..].starts_with('@') {
        true => format!("{}{}", &text[..found.start - 1], &text[found.end..]),
        false => format!("{}xxx{}", &text[..found.start], &text[found.end..]),
    }
}

/// Undoes the percent escapes of a URL.
fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PgLocation {
        PgLocation::parse(text).unwrap()
    }

    #[test]
    fn urls() {
        let place =
            parse("postgres://me:s%40cret@db.example:5433/prices?table=public.f&layout=long");
        assert_eq!(
            place.to_string(),
            "postgres://me@db.example:5433/prices?table=public.f&layout=long"
        );
        assert_eq!(place.table().unwrap().to_string(), "\"public\".\"f\"");
        assert_eq!(place.option("layout"), Some("long"));
        assert_eq!(place.server(), "db.example:5433");
        assert_eq!(place.config.get_password(), Some(b"s@cret".as_slice()));
        assert_eq!(parse("postgres://h/d?table=a\"b").table().unwrap().to_string(), "\"a\"\"b\"");
    }

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("postgres://u:secret@h/d?table=t", "postgres://u@h/d?table=t"),
            ("postgres://u:se@cret@h/d", "postgres://u@h/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("bars/a:b@c", "bars/a:b@c"),
            ("postgres://h:5433/d?table=t", "postgres://h:5433/d?table=t"),
            (
                "postgres://h/d?user=u&password=secret&table=t",
                "postgres://h/d?user=u&password=xxx&table=t",
            ),
            ("postgres://u:secret", "postgres://u:xxx"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_password(text), shown);
        }
        let error = PgLocation::parse("postgres://u:secret@h/d?tabel=t").unwrap_err().to_string();
        assert_eq!(error, "postgres://u@h/d?tabel=t: unknown option tabel; did you mean table?");
        for wrong in ["postgres://u:secret@h:port/d?table=t", "postgres://u:secret@h/d"] {
            let error = PgLocation::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", parse("postgres://u:secret@h/d?table=t")).contains("secret"));
    }

    #[test]
    fn certificates_are_looked_at_unless_the_server_is_here() {
        let trust = |text: &str| parse(text).trust;
        assert_eq!(trust("postgres://localhost/d?table=t"), None);
        assert_eq!(trust("postgres://h/d?table=t"), Some(TlsTrust::Roots(None)));
        assert_eq!(trust("postgres://h/d?table=t&sslmode=disable"), None);
        assert_eq!(trust("postgres://h/d?table=t&sslmode=require"), Some(TlsTrust::Anybody));
        let root = trust("postgres://h/d?table=t&sslrootcert=/ca.pem");
        assert_eq!(root, Some(TlsTrust::Roots(Some("/ca.pem".into()))));
        let error = PgLocation::parse("postgres://h/d?table=t&sslmode=on").unwrap_err();
        assert!(error.message().contains("sslmode is on, expected disable"), "{error}");
    }
}
