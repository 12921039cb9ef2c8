//! What is wrong at the start is said at the start, and what to do about it.

use std::sync::Arc;
use std::time::Duration;

use annul::store::{
    PostgresConfig, PostgresError, PostgresStore, RevocationFeed, StoreErrorKind, Sweep,
    SweepBudget, TokenStore,
};
use annul::{DigestKey, PresentedToken};

use crate::server;
use crate::server::{Server, free_port};
use crate::tenancy::{Place, key};
use crate::words::{at as minutes, of_grant};

/// The error, and that it tells what to do without telling a password.
async fn refused(config: PostgresConfig, says: &[&str]) -> PostgresError {
    let error = PostgresStore::connect(config.clone()).await.unwrap_err();
    let mut text = error.to_string();
    for word in says {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &cause.to_string();
        source = cause.source();
    }
    for shown in [text, format!("{error:?}"), format!("{config:?}")] {
        assert!(!shown.contains("s3cr"), "a password is told: {shown}");
    }
    error
}

fn at(url: &str) -> PostgresConfig {
    PostgresConfig::new(url, key()).timeout(Duration::from_secs(2))
}

#[tokio::test]
async fn a_url_that_makes_no_sense_is_told_from_one_that_leads_nowhere() {
    for url in
        ["", "nonsense", "http://localhost/", "postgres://", "postgres://u:s3cr@?et@host/db?what=1"]
    {
        let error = refused(at(url), &["postgres://user:password@host"]).await;
        assert!(matches!(error, PostgresError::Url), "{url}: {error:?}");
    }
    let nobody = format!("postgres://u:s3cret@127.0.0.1:{}/db", free_port());
    let error = refused(at(&nobody), &["does not answer", "127.0.0.1:"]).await;
    assert!(matches!(error, PostgresError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_as_long_as_was_asked_and_no_longer() {
    // It takes connections, and that is all.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let config = at(&format!("postgres://u:s3cret@127.0.0.1:{port}/db"));
    let config = config.timeout(Duration::from_millis(300));
    let error = refused(config, &["does not answer"]).await;
    assert!(matches!(error, PostgresError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_have_names() {
    let place = Place::new(server::shared()).await;
    let (port, name) = (place.server.port(), &place.name);
    let missing = at(&format!("postgres://{name}@127.0.0.1:{port}/nowhere"));
    let error = refused(missing, &["no such database", "/nowhere", "createdb"]).await;
    assert!(matches!(error, PostgresError::NoDatabase { .. }), "{error:?}");
    let stranger = at(&format!("postgres://stranger:s3cret@127.0.0.1:{port}/postgres"));
    let error = refused(stranger, &["stranger", "password"]).await;
    assert!(matches!(error, PostgresError::Login { .. }), "{error:?}");
    // A server of its own, for it asks for passwords.
    let strict = Server::start(server::IN_HASTE);
    strict.ask_for_passwords("u", "right").await;
    let port = strict.port();
    for user in ["u:s3cret", "u"] {
        let url = format!("postgres://{user}@127.0.0.1:{port}/postgres");
        let error = refused(at(&url), &["user `u`", "password"]).await;
        assert!(matches!(error, PostgresError::Login { .. }), "{error:?}");
    }
    let right = at(&format!("postgres://u:right@127.0.0.1:{port}/postgres"));
    let error = refused(right, &["migrate"]).await;
    assert!(matches!(error, PostgresError::NoSchema { .. }), "{error:?}");
}

#[tokio::test]
async fn a_schema_that_is_missing_older_or_newer_is_told_with_what_to_run() {
    let place = Place::bare(server::shared()).await;
    let error = refused(place.config(), &["PostgresStore::migrate", "psql", ".sql"]).await;
    assert!(matches!(error, PostgresError::NoSchema { .. }), "{error:?}");
    let applied = PostgresStore::migrate(&place.config()).await.unwrap();
    assert_eq!(applied, PostgresStore::MIGRATIONS);
    PostgresStore::connect(place.config()).await.unwrap();
    assert_eq!(PostgresStore::migrate(&place.config()).await.unwrap(), []);
    let client = place.client().await;
    client.execute("UPDATE annul_schema SET version = 99", &[]).await.unwrap();
    let error = refused(place.config(), &["version 99", "later version of annul"]).await;
    assert!(matches!(error, PostgresError::SchemaNewer { found: 99, .. }), "{error:?}");
    let error = PostgresStore::migrate(&place.config()).await.unwrap_err();
    assert!(matches!(error, PostgresError::SchemaNewer { found: 99, .. }), "{error:?}");
    client.execute("UPDATE annul_schema SET version = 0", &[]).await.unwrap();
    let error = refused(place.config(), &["version 0", "PostgresStore::migrate"]).await;
    assert!(matches!(error, PostgresError::SchemaOlder { found: 0, .. }), "{error:?}");
}

#[tokio::test]
async fn each_permission_that_is_missing_is_named_before_the_first_request() {
    let owner = Place::new(server::shared()).await;
    let user = Place::bare(server::shared()).await;
    let (schema, role) = (&owner.name, &user.name);
    let admin = owner.server.admin().await;
    admin
        .batch_execute(&format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
             ALTER ROLE {role} SET search_path = {schema};"
        ))
        .await
        .unwrap();
    PostgresStore::connect(user.config()).await.unwrap();
    for (what, on) in [
        ("INSERT", "annul_entry"),
        ("UPDATE", "annul_token"),
        ("DELETE", "annul_grant"),
        ("SELECT", "annul_session"),
        ("SELECT", "annul_schema"),
        ("UPDATE", "annul_clock"),
        ("USAGE", "SEQUENCE annul_place"),
    ] {
        let place = on.replace("annul_", &format!("{schema}.annul_"));
        admin.batch_execute(&format!("REVOKE {what} ON {place} FROM {role}")).await.unwrap();
        let error = refused(user.config(), &[&format!("{what} on {on}"), role, "GRANT"]).await;
        assert!(matches!(error, PostgresError::NoPermission { .. }), "{error:?}");
        admin.batch_execute(&format!("GRANT {what} ON {place} TO {role}")).await.unwrap();
    }
    admin
        .batch_execute(&format!("REVOKE EXECUTE ON FUNCTION {schema}.annul_draw() FROM public"))
        .await
        .unwrap();
    let error = refused(user.config(), &["EXECUTE on FUNCTION", "annul_draw"]).await;
    assert!(matches!(error, PostgresError::NoPermission { .. }), "{error:?}");
}

#[tokio::test]
async fn another_digest_key_is_refused_and_not_a_store_that_knows_no_token() {
    let place = Place::new(server::shared()).await;
    PostgresStore::connect(place.config()).await.unwrap();
    let other = PostgresConfig::new(&place.words(), DigestKey::new(&[8; 32]));
    let error = refused(other, &["another digest key"]).await;
    assert!(matches!(error, PostgresError::WrongKey), "{error:?}");
    PostgresStore::connect(place.config()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_migrate_at_once_one_does_and_all_start() {
    let place = Arc::new(Place::bare(server::shared()).await);
    let starts = (0..6).map(|_| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let applied = PostgresStore::migrate(&place.config()).await.unwrap();
            let store = PostgresStore::connect(place.config()).await.unwrap();
            assert!(store.find(PresentedToken::new("t"), None).await.unwrap().is_none());
            applied.len()
        })
    });
    let mut applied = 0;
    for start in starts.collect::<Vec<_>>() {
        applied += start.await.unwrap();
    }
    assert_eq!(applied, PostgresStore::MIGRATIONS.len());
}

/// By hand, as the comment in the file says, and twice: the second time nothing is changed.
#[tokio::test]
async fn the_migrations_are_plain_sql_for_psql() {
    let place = Place::bare(server::shared()).await;
    let run = || {
        let mut command = std::process::Command::new(server::program("psql"));
        command.args(["-qX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-d", "postgres", "-p"]);
        command.arg(place.server.port().to_string()).args(["-U", &place.name]);
        for migration in PostgresStore::MIGRATIONS {
            let file = format!("{:04}_{}.sql", migration.version, migration.name);
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/postgres/migrations/");
            command.arg("-f").arg(format!("{folder}{file}"));
        }
        command.output().unwrap()
    };
    let first = run();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    PostgresStore::connect(place.config()).await.unwrap();
    let before = place.dump().await.unwrap();
    assert!(!run().status.success());
    assert_eq!(place.dump().await.unwrap(), before);
    assert_eq!(PostgresStore::migrate(&place.config()).await.unwrap(), []);
}

/// Logical replication, or a copy of the tables alone, leaves a sequence behind.
#[tokio::test]
async fn places_that_would_be_given_away_again_are_refused_by_the_start_and_by_the_feed() {
    for are_swept in [false, true] {
        let place = Place::new(server::shared()).await;
        let store = PostgresStore::connect(place.config()).await.unwrap();
        for n in 0..5 {
            store.revoke(&of_grant(format!("g{n}"))).await.unwrap();
        }
        if are_swept {
            for days in [1, 2] {
                store.sweep(minutes(60 * 24 * days), SweepBudget::default()).await.unwrap();
            }
        }
        let client = place.client().await;
        client.batch_execute("ALTER SEQUENCE annul_place RESTART").await.unwrap();
        store.revoke(&of_grant("new")).await.unwrap();
        // By who is there already, too: it would show one entry, and call that all.
        let error = store.changes(None, 100).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        let says = ["annul_place", "is at 1", "setval('annul_place', 5)"];
        let error = refused(place.config(), &says).await;
        assert!(matches!(error, PostgresError::SequenceBehind { .. }), "{error:?}");
        client.query_one("SELECT setval('annul_place', 5)", &[]).await.unwrap();
        let store = PostgresStore::connect(place.config()).await.unwrap();
        store.changes(None, 100).await.unwrap();
    }
}

#[tokio::test]
async fn a_standby_is_refused_because_it_takes_no_writes() {
    let primary = Arc::new(Server::start(server::IN_HASTE));
    let place = Place::new(Arc::clone(&primary)).await;
    let standby = primary.standby();
    let name = &place.name;
    let config = at(&format!("postgres://{name}@127.0.0.1:{}/postgres", standby.port()));
    let error = refused(config, &["standby", "primary"]).await;
    assert!(matches!(error, PostgresError::ReadOnly { .. }), "{error:?}");
    // Named beside its primary, the primary is found.
    let both = [standby.port(), primary.port()].map(|port| format!("127.0.0.1:{port}"));
    let config = at(&format!("postgres://{name}@{}/postgres", both.join(",")));
    PostgresStore::connect(config).await.unwrap();
}

#[tokio::test]
async fn tls_is_spoken_where_the_url_says_so_and_only_with_whom_it_names() {
    let secure = Arc::new(Server::start(server::IN_HASTE));
    let trusted = secure.speak_tls("localhost").await;
    let place = Place::new(Arc::clone(&secure)).await;
    let (name, port) = (&place.name, secure.port());
    let url = |host: &str, mode: &str| format!("postgres://{name}@{host}:{port}/postgres{mode}");
    let required = "?sslmode=require";
    let config = at(&url("localhost", required)).root_certificates(&trusted);
    let store = PostgresStore::connect(config).await.unwrap();
    assert!(store.find(PresentedToken::new("t"), None).await.unwrap().is_none());
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE usename = $1::text AND ssl";
    let admin = secure.admin().await;
    assert!(admin.query_one(sql, &[name]).await.unwrap().get::<_, i64>(0) > 0);
    // A certificate for another name, an authority that nobody has named, and what is none.
    let stranger = at(&url("127.0.0.1", required)).root_certificates(&trusted);
    let unknown = at(&url("localhost", required));
    for config in [stranger, unknown] {
        let error = refused(config, &["TLS", "certificate", "root_certificates"]).await;
        assert!(matches!(error, PostgresError::Tls { .. }), "{error:?}");
    }
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let config = at(&url("localhost", required)).root_certificates(pem);
        let error = refused(config, &["PEM"]).await;
        assert!(matches!(error, PostgresError::RootCertificates), "{error:?}");
    }
    // Without it, this server lets nobody in.
    let error = refused(at(&url("localhost", "")), &[name]).await;
    assert!(matches!(error, PostgresError::Login { .. }), "{error:?}");
    // And where it was asked for, a server that does not speak it is not spoken to in plain.
    let plain = Place::new(server::shared()).await;
    let (name, port) = (&plain.name, plain.server.port());
    let config = at(&format!("postgres://{name}@localhost:{port}/postgres?sslmode=require"));
    let error = refused(config, &["TLS", "ssl = on"]).await;
    assert!(matches!(error, PostgresError::Tls { .. }), "{error:?}");
}
