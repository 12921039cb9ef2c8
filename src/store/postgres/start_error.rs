//! Why a store did not start.

/// Why a [`PostgresStore`](crate::store::PostgresStore) was not opened, and what to do about it. None of them holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The database went away, or something else that has no name here.
    #[error("PostgreSQL did not do what it was asked at the start{}", cause(.0.as_ref()))]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server does not let this user in, or not with this password.
    #[error(
        "PostgreSQL at {at} does not let user `{user}` in: check the user and the password of the URL, and pg_hba.conf"
    )]
    Login {
        /// `host:port/database`.
        at: String,
        /// Whom the server knows or does not know.
        user: String,
    },
    /// A migration was not applied; what is in the database is what was there before.
    #[error(
        "migration {name} was not applied; nothing was changed. It needs a user who may create tables in the first schema \
         of its search path"
    )]
    Migration {
        /// Which one: `0001_ledger`.
        name: String,
        /// What PostgreSQL said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such database.
    #[error("there is no such database: {at}. Create it with `createdb`, or mend the URL")]
    NoDatabase {
        /// `host:port/database`.
        at: String,
    },
    /// The user may not do something that the store has to.
    #[error("user `{user}` lacks {missing}. Its owner grants it: GRANT {missing} TO {user}")]
    NoPermission {
        /// What is missing: `INSERT on annul_entry`.
        missing: String,
        /// Who needs it.
        user: String,
    },
    /// The tables are not there.
    #[error(
        "there are no tables of annul in the search path at {at}. Run the migrations: PostgresStore::migrate, or \
         psql -v ON_ERROR_STOP=1 -f 0001_ledger.sql"
    )]
    NoSchema {
        /// `host:port/database`.
        at: String,
    },
    /// It is a standby, or read-only for this user, and takes no writes.
    #[error(
        "{at} is a standby, or read-only, and takes no writes: name the primary, or all hosts, in the URL"
    )]
    ReadOnly {
        /// `host:port/database`.
        at: String,
    },
    /// No authority is trusted, or what was given as one cannot be read.
    #[error(
        "no certificate of an authority to trust: PostgresConfig::root_certificates wants PEM, and without it those of the \
         operating system are used (ca-certificates)"
    )]
    RootCertificates,
    /// The tables are of a later version of this crate.
    #[error(
        "the tables are of version {found}, and this is version {wanted}: use a later version of annul"
    )]
    SchemaNewer {
        /// The version of the tables.
        found: i32,
        /// The version that is wanted.
        wanted: i32,
    },
    /// The tables are of an earlier version of this crate.
    #[error(
        "the tables are of version {found}, and version {wanted} is wanted. Run the migrations: PostgresStore::migrate, or \
         psql -v ON_ERROR_STOP=1 -f with those after {found:04}"
    )]
    SchemaOlder {
        /// The version of the tables.
        found: i32,
        /// The version that is wanted.
        wanted: i32,
    },
    /// The sequence of places is behind the entries, as it is where the tables were copied without it.
    #[error(
        "the sequence annul_place is at {found}, and the entries go up to {wanted}: the tables were copied, or replicated, \
         without it, and readers of the feed would miss entries. Set it: SELECT setval('annul_place', {wanted})"
    )]
    SequenceBehind {
        /// Where the sequence is.
        found: i64,
        /// The last place that was given away.
        wanted: i64,
    },
    /// The server is older than PostgreSQL 13.
    #[error("the server is PostgreSQL {found}; 13 or later is needed")]
    ServerTooOld {
        /// What it says that it is.
        found: String,
    },
    /// TLS was asked for, and there is none, or the server's certificate is not trusted.
    #[error(
        "TLS with {at} failed: is it switched on there (ssl = on), is the certificate for the host that the URL names, and \
         is its authority trusted? PostgresConfig::root_certificates names one of your own"
    )]
    Tls {
        /// `host:port/database`.
        at: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers there.
    #[error("PostgreSQL at {at} does not answer: is it running, and does it listen there?")]
    Unreachable {
        /// `host:port/database`.
        at: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL makes no sense.
    #[error(
        "the URL of PostgreSQL cannot be read; it looks like postgres://user:password@host:5432/database, with %40 for an \
         @ in the password"
    )]
    Url,
    /// The rows were written with another digest key: every token would be unknown.
    #[error(
        "the tables were written with another digest key: every token would be unknown. Use the key that they were written \
         with"
    )]
    WrongKey,
}

/// The source's own cause, after a colon.
fn cause(source: &(dyn std::error::Error + Send + Sync)) -> String {
    source.source().map(|cause| format!(": {cause}")).unwrap_or_default()
}
