//! Every statement looks things up by an index, also in tables that are large.

use std::sync::Arc;

use annul::store::{PostgresStore, Rotation, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{Namespace, PresentedToken, Target};
use tokio_postgres::Client;

use crate::server;
use crate::server::Server;
use crate::tenancy::Place;
use crate::words::{access, at, follow, grant, operator, refresh, revoke_own, session};

const LARGE: [&str; 4] = ["annul_entry", "annul_grant", "annul_session", "annul_token"];

/// A hundred thousand of each.
async fn fill(client: &Client) {
    client
        .batch_execute(
            "INSERT INTO annul_token
             SELECT sha256(int4send(n)), CASE n % 2 WHEN 0 THEN 'a' ELSE 'r' END, false, 0, 0, 4000000000000, 4000000000000 + n, 0, false,
                    substr(sha256(int4send(n / 2)), 1, 16), substr(sha256(int4send(n / 8)), 2, 16),
                    substr(sha256(int4send(n / 8)), 3, 16), substr(sha256(int4send(n / 8)), 4, 16),
                    substr(sha256(int4send(n % 100)), 5, 16), int4send(n / 2), int4send(n % 100),
                    int4send(n / 8), int4send(n / 8), NULL, NULL
             FROM generate_series(1, 100000) n;
             INSERT INTO annul_entry (key, namespace, kind, at, until, due, name, reason, actor)
             SELECT substr(sha256(int4send(n)), 7, 16), 1, 1, 0, 4000000000000, 4000000000000 + n,
                    int4send(n), 'logout', 'o'
             FROM generate_series(1, 100000) n;
             INSERT INTO annul_grant
             SELECT substr(sha256(int4send(n)), 1, 16), 1, substr(sha256(int4send(n / 8)), 3, 16), 1, 0,
                    4000000000000 + n
             FROM generate_series(1, 100000) n;
             INSERT INTO annul_session
             SELECT substr(sha256(int4send(n)), 2, 16), 1, int4send(n), int4send(n), 0, 4000000000000,
                    4000000000000 + n, '{}'
             FROM generate_series(1, 100000) n;",
        )
        .await
        .unwrap();
}

/// How many rows of each table were read one after the other, and how many look-ups there were by an index.
async fn reads(client: &Client) -> Vec<(String, i64, i64)> {
    client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    client.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
    let sql = "SELECT relname::text, coalesce(seq_tup_read, 0), coalesce(idx_scan, 0)
               FROM pg_stat_user_tables WHERE schemaname = current_schema() ORDER BY 1";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Until nobody but this client is connected in this role: then the others have handed in what they counted.
async fn alone(client: &Client) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE usename = current_user AND pid <> pg_backend_pid()";
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Everything that the store sends, by the plans that the server used for it: `auto_explain` writes them down, those of the
/// statements within functions too.
async fn explained(analyzed: bool) {
    let settings = [
        server::IN_HASTE,
        &[
            "session_preload_libraries=auto_explain",
            "auto_explain.log_nested_statements=on",
            "autovacuum=off",
        ],
    ]
    .concat();
    let place = Place::new(Arc::new(Server::start(&settings))).await;
    let (server, client) = (&place.server, place.client().await);
    let admin = server.admin().await;
    let explain = format!("ALTER ROLE {} SET auto_explain.log_min_duration = 0", place.name);
    admin.batch_execute(&explain).await.unwrap();
    let store = PostgresStore::connect(place.config().connections(1)).await.unwrap();
    if analyzed {
        fill(&client).await;
        client.batch_execute("ANALYZE").await.unwrap();
    } else {
        // Prepared while the tables were empty, and used when they are not: nobody knows how large they are.
        everything(&store.namespace(&Namespace::new("before"))).await;
        fill(&client).await;
    }
    let (before, log) = (reads(&client).await, server.log().len());
    everything(&store).await;
    drop(store);
    alone(&client).await;
    let after = reads(&client).await;
    for ((table, read_before, looked_before), (_, read_after, looked_after)) in
        before.iter().zip(&after)
    {
        if LARGE.contains(&table.as_str()) {
            let read = read_after - read_before;
            assert_eq!(read, 0, "so many rows of {table} were read one after the other");
            assert!(looked_after > looked_before, "nothing was looked up in {table}");
        }
    }
    let log = server.log().split_off(log);
    let plans = log.matches("plan:").count();
    assert!(plans > 30, "only {plans} plans were seen:\n{log}");
    for table in LARGE {
        for scan in ["Seq Scan", "Bitmap Heap Scan"] {
            let scanned = format!("{scan} on {table}");
            assert!(!log.contains(&scanned), "{scanned}:\n{log}");
        }
    }
    // The rules are put in place: where one is called instead, its line names it.
    for line in log.lines().filter(|line| line.contains("Filter:") || line.contains("Cond:")) {
        assert!(!line.contains("annul_"), "a rule is called for every row: {line}");
    }
    // What limits its rows by a sort has read them all first, unless it is a handful of keys.
    for plan in log.split("plan:").filter(|plan| plan.contains("annul_token_due")) {
        assert!(!plan.contains("Sort"), "a sweep sorts what it could read in order:\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_a_large_table_from_end_to_end() {
    explained(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_where_the_table_grew_and_nobody_counted_its_rows() {
    explained(false).await;
}

/// One of each, all the ways through the statements.
async fn everything(store: &PostgresStore) {
    store.issue(grant("g"), &[access("at", 1), refresh("rt", 9)], at(0)).await.unwrap();
    store.issue(grant("g"), &[access("at", 1)], at(0)).await.unwrap();
    store.open_session(session("s", 9)).await.unwrap();
    store.session(&"s".into()).await.unwrap();
    let web = "web".into();
    for now in [1, 2] {
        let next = [refresh("next", 9)];
        let rotation = Rotation::new(PresentedToken::new("rt"), &web, &next, at(now));
        store.rotate(&rotation).await.unwrap();
    }
    for target in [Target::Session("s".into()), Target::Everything] {
        store.revoke(&operator(target.clone(), at(0))).await.unwrap();
        store.revoke(&operator(target, at(1))).await.unwrap();
    }
    revoke_own(store, "next", at(0)).await;
    store.find(PresentedToken::new("next"), None).await.unwrap();
    store.issue(grant("g"), &[access("late", 20)], at(0)).await.unwrap();
    let mut cursor = None;
    for _ in 0..2 {
        follow(store, &mut cursor).await.unwrap();
    }
    store.sweep(at(1), SweepBudget::rows(100)).await.unwrap();
    store.sweep(at(100_000), SweepBudget::rows(100)).await.unwrap();
}
