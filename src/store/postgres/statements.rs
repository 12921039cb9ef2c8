//! What is sent to the database: each of these is a transaction of its own, and one round trip.

/// A token, and the first kind of entry that covers it: eight look-ups by primary key.
///
/// `$1` the digest, `$2` the token's own key, `$3` the key of everything.
pub(super) const FIND: &str = "\
SELECT t.kind, t.consumed, t.issued_at, t.expires_at, t.authenticated_at, t.offline,
       t.grant_id, t.client_id, t.subject, t.session, t.scope, t.counterpart,
       (SELECT e.kind FROM annul_entry e
        WHERE e.key = ANY (ARRAY[$2::bytea, t.grant_key, t.session_key, t.pair_key, t.subject_key, t.client_key,
                                 $3::bytea])
        AND (e.kind <= 2 OR e.at >= t.authenticated_at)
        ORDER BY e.kind LIMIT 1)
FROM annul_token t WHERE t.digest = $1::bytea";

/// Writes one entry, moves its cutoff forward, or keeps it for as long as a new one would be kept; nothing, and no lock,
/// where the ledger says so already and keeps it long enough. The answer: a row where anything was written, and whether it
/// is news. Every entry is kept longer than its cutoff by what is in flight, so one whose cutoff is this one is this one.
///
/// `$1` key, `$2` namespace, `$3` kind, `$4` cutoff, `$5` how long what is in flight may take, `$6` name, `$7` client,
/// `$8` reason, `$9` actor, `$10` the actor's name.
pub(super) const REVOKE: &str = "\
INSERT INTO annul_entry AS e (key, namespace, kind, at, until, due, name, client, reason, actor, actor_client)
SELECT $1::bytea, $2::bigint, $3::smallint, $4::bigint,
       greatest($4::bigint, (SELECT n.horizon FROM annul_namespace n WHERE n.namespace = $2::bigint)) + $5::bigint, 0,
       $6::bytea, $7::bytea, $8::text, $9::smallint, $10::bytea
WHERE NOT EXISTS (SELECT FROM annul_entry k WHERE k.key = $1::bytea
                  AND (k.kind NOT BETWEEN 3 AND 6 OR k.at >= $4::bigint) AND k.until >= $4::bigint + $5::bigint)
ON CONFLICT (key) DO UPDATE
SET until = greatest(e.until, excluded.until), due = 0, place = excluded.place,
    at = CASE WHEN e.kind BETWEEN 3 AND 6 THEN greatest(e.at, excluded.at) ELSE e.at END,
    reason = CASE WHEN e.kind BETWEEN 3 AND 6 AND e.at < excluded.at THEN excluded.reason ELSE e.reason END,
    actor = CASE WHEN e.kind BETWEEN 3 AND 6 AND e.at < excluded.at THEN excluded.actor ELSE e.actor END,
    actor_client = CASE WHEN e.kind BETWEEN 3 AND 6 AND e.at < excluded.at THEN excluded.actor_client
                        ELSE e.actor_client END
WHERE (e.kind BETWEEN 3 AND 6 AND e.at < excluded.at) OR e.until < excluded.at + $5::bigint
RETURNING e.at = $4::bigint";

/// Writes the entry for one token that a client revokes; and one for its grant if the token has been rotated since it was
/// looked up: by then revoking it means that, and its successors would live. Both are kept, and answered, as by `REVOKE`.
///
/// The token's row is locked first. A rotation that was there before is waited for, and `consumed` is what it left; one
/// that comes later waits, and sees the entry.
///
/// `$1` digest, `$2` key, `$3` namespace, `$4` cutoff, `$5` in flight, `$6` reason, `$7` the client's name.
pub(super) const REVOKE_OWN_TOKEN: &str = "\
WITH spent AS MATERIALIZED (
    SELECT t.consumed, t.grant_key, t.grant_id FROM annul_token t WHERE t.digest = $1::bytea FOR SHARE
), news AS MATERIALIZED (
    SELECT $2::bytea AS key, 0::smallint AS kind, $1::bytea AS name
    UNION ALL
    SELECT s.grant_key, 1::smallint, s.grant_id FROM spent s WHERE s.consumed
)
INSERT INTO annul_entry AS e (key, namespace, kind, at, until, due, name, reason, actor, actor_client)
SELECT w.key, $3::bigint, w.kind, $4::bigint,
       greatest($4::bigint, (SELECT n.horizon FROM annul_namespace n WHERE n.namespace = $3::bigint)) + $5::bigint, 0,
       w.name, $6::text, 2::smallint, $7::bytea
FROM news w
WHERE NOT EXISTS (SELECT FROM annul_entry k WHERE k.key = w.key AND k.until >= $4::bigint + $5::bigint)
ORDER BY w.key
ON CONFLICT (key) DO UPDATE
SET until = greatest(e.until, excluded.until), due = 0, place = excluded.place
WHERE e.until < excluded.at + $5::bigint
RETURNING e.at = $4::bigint";

/// Records tokens, and says whether an entry covers them, which then stays for as long as they do: to the horizon, which
/// moves seldom, so that many tokens that are born dead write seldom.
///
/// Nothing is done unless the horizon that this statement sees reaches `$2`.
///
/// `$1` namespace, `$2` the latest expiry, `$3` now, `$4`.. what they share, `$14`.. what each of them is, `$21` the keys of
/// all entries that may cover them.
pub(super) const ISSUE: &str = "\
WITH ready AS MATERIALIZED (
    SELECT n.horizon FROM annul_namespace n WHERE n.namespace = $1::bigint AND n.horizon >= $2::bigint
), written AS (
    INSERT INTO annul_token
        (digest, kind, consumed, generation, issued_at, expires_at, due, authenticated_at, offline,
         grant_key, session_key, pair_key, subject_key, client_key,
         grant_id, client_id, subject, session, scope, counterpart)
    SELECT w.digest, w.kind, w.consumed, w.generation, $3::bigint, w.expires_at, w.due, $4::bigint, $5::boolean,
           $6::bytea, $7::bytea, $8::bytea, $9::bytea, $10::bytea,
           $11::bytea, $12::bytea, $13::bytea, $14::bytea, $15::bytea, w.counterpart
    FROM ready, unnest($16::bytea[], $17::smallint[], $18::boolean[], $19::integer[], $20::bigint[], $21::bigint[],
                       $22::bytea[])
        AS w(digest, kind, consumed, generation, expires_at, due, counterpart)
    ORDER BY w.digest
    ON CONFLICT (digest) DO NOTHING
    RETURNING 1
), covering AS MATERIALIZED (
    SELECT e.key, e.kind, e.until FROM ready, annul_entry e
    WHERE e.key = ANY ($23::bytea[]) AND (e.kind <= 2 OR e.at >= $4::bigint)
), held AS (
    UPDATE annul_entry e SET until = greatest(e.until, r.horizon)
    FROM ready r, (
          SELECT l.key FROM annul_entry l
          WHERE l.key = ANY (ARRAY(SELECT c.key FROM covering c WHERE c.until < $2::bigint))
          ORDER BY l.key FOR NO KEY UPDATE) l
    WHERE e.key = l.key
    RETURNING e.kind
)
SELECT EXISTS (SELECT FROM ready), (SELECT count(*) FROM written),
       least((SELECT min(c.kind) FROM covering c WHERE c.until >= $2::bigint), (SELECT min(h.kind) FROM held h))";

/// Whether one of these tokens is another grant's, or of another kind.
pub(super) const FOREIGN: &str = "\
SELECT EXISTS (
    SELECT FROM unnest($1::bytea[], $2::smallint[]) AS w(digest, kind) JOIN annul_token t ON t.digest = w.digest
    WHERE t.grant_key <> $3::bytea OR t.kind <> w.kind)";

/// Says, before it is recorded and in a transaction of its own, that something lasts so long.
pub(super) const RAISE: &str = "\
INSERT INTO annul_namespace AS n (namespace, horizon) VALUES ($1::bigint, $2::bigint)
ON CONFLICT (namespace) DO UPDATE SET horizon = excluded.horizon WHERE n.horizon < excluded.horizon";

pub(super) const ROTATE: &str = "\
SELECT r.outcome, r.covered_by,
       (r.spent).kind, (r.spent).consumed, (r.spent).issued_at, (r.spent).expires_at, (r.spent).authenticated_at,
       (r.spent).offline, (r.spent).grant_id, (r.spent).client_id, (r.spent).subject, (r.spent).session,
       (r.spent).scope, (r.spent).counterpart
FROM annul_rotate($1::bigint, $2::bytea, $3::bytea, $4::bytea, $5::bytea, $6::bigint, $7::bigint, $8::bigint, $9::bigint,
                  $10::bigint, $11::bytea[], $12::bytea[], $13::smallint[], $14::boolean[], $15::integer[], $16::bigint[],
                  $17::bigint[], $18::bytea[]) r";

/// Opens or joins a session, unless it was logged out or is another subject's; and holds the entries that end its login.
///
/// `$1` namespace, `$2` its end, `$3` key, `$4` id, `$5` subject, `$6` its beginning, `$7` due, `$8` clients, `$9` the
/// targets that end its login, `$10` in flight.
pub(super) const OPEN_SESSION: &str = "\
WITH ready AS MATERIALIZED (
    SELECT FROM annul_namespace n WHERE n.namespace = $1::bigint AND n.horizon >= $2::bigint
), ended AS MATERIALIZED (
    SELECT FROM annul_entry e WHERE e.key = $3::bytea
), opened AS (
    INSERT INTO annul_session AS s (key, id, subject, started_at, expires_at, due, clients, holds)
    SELECT $3::bytea, $4::bytea, $5::bytea, $6::bigint, $2::bigint, $7::bigint, $8::bytea[], $9::bytea[]
    FROM ready WHERE NOT EXISTS (SELECT FROM ended)
    ON CONFLICT (key) DO UPDATE
    SET expires_at = greatest(s.expires_at, excluded.expires_at),
        due = greatest(s.due, excluded.due),
        clients = s.clients || ARRAY(SELECT c.id FROM unnest(excluded.clients) WITH ORDINALITY AS c(id, n)
                                     WHERE c.id <> ALL (s.clients) ORDER BY c.n),
        holds = s.holds || ARRAY(SELECT h.key FROM unnest(excluded.holds) AS h(key) WHERE h.key <> ALL (s.holds))
    WHERE s.subject = excluded.subject
    RETURNING s.started_at, s.expires_at + $10::bigint AS until, s.holds
), held AS (
    UPDATE annul_entry e SET until = greatest(e.until, l.until)
    FROM (SELECT k.key, o.until FROM opened o, annul_entry k
          WHERE k.key = ANY (o.holds) AND k.at >= o.started_at AND k.until < o.until
          ORDER BY k.key FOR NO KEY UPDATE OF k) l
    WHERE e.key = l.key
    RETURNING 1
)
SELECT EXISTS (SELECT FROM ready), EXISTS (SELECT FROM ended), EXISTS (SELECT FROM opened),
       (SELECT count(*) FROM held)";

pub(super) const SESSION: &str = "\
SELECT s.subject, s.started_at, s.expires_at, s.clients FROM annul_session s WHERE s.key = $1::bytea";

pub(super) const SWEEP_TOKENS: &str = "\
SELECT looked, removed, reached
FROM annul_sweep_tokens($1::bigint, $2::bigint, $3::integer, $4::bigint, $5::bigint)";

pub(super) const SWEEP_ENTRIES: &str = "\
SELECT looked, removed, reached FROM annul_sweep_entries($1::bigint, $2::bigint, $3::integer, $4::bigint)";

pub(super) const SWEEP_FAMILIES: &str = "\
SELECT looked, removed, reached FROM annul_sweep_families($1::bigint, $2::bigint, $3::integer, $4::bigint)";

pub(super) const SWEEP_SESSIONS: &str = "\
SELECT looked, removed, reached FROM annul_sweep_sessions($1::bigint, $2::bigint, $3::integer)";

/// Which feed this is, the last place that was drawn, and who was about to commit an entry after that was read.
///
/// The condition on the place makes the look at the locks depend on it, so that the place is read first.
pub(super) const FEED_ENDS: &str = "\
SELECT concat_ws('.', (SELECT epoch FROM annul_schema), (SELECT system_identifier FROM pg_control_system()),
                 substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), d.oid, 'annul_entry'::regclass::oid),
       CASE WHEN p.is_called THEN p.last_value ELSE 0 END,
       ARRAY(SELECT l.virtualtransaction FROM pg_locks l
             WHERE l.locktype = 'advisory' AND l.database = d.oid AND l.classid = 1634627189
             AND l.objid = 'annul_entry'::regclass AND l.objsubid = 2 AND p.last_value > 0)
FROM annul_place p, pg_database d WHERE d.datname = current_database()";

/// How many of these are still about to commit.
pub(super) const FEED_WAITS: &str = "\
SELECT count(*) FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.classid = 1634627189 AND l.objid = 'annul_entry'::regclass AND l.objsubid = 2
AND l.virtualtransaction = ANY ($1::text[])";

/// What a sweep has taken, where the entries end, and a page of them: in one snapshot.
///
/// `$1` namespace, `$2` after, `$3` up to, `$4` how many.
pub(super) const FEED_PAGE: &str = "\
SELECT n.swept, n.newest, e.place, e.kind, e.name, e.client, e.at, e.until, e.reason, e.actor, e.actor_client
FROM (SELECT coalesce((SELECT s.swept FROM annul_namespace s WHERE s.namespace = $1::bigint), 0) AS swept,
             coalesce((SELECT max(m.place) FROM annul_entry m WHERE m.namespace = $1::bigint), 0) AS newest) n
LEFT JOIN LATERAL (
    SELECT * FROM annul_entry f WHERE f.namespace = $1::bigint AND f.place > $2::bigint AND f.place <= $3::bigint
    ORDER BY f.place LIMIT $4::bigint
) e ON true
ORDER BY e.place";

pub(super) const FEED_HAS: &str = "\
SELECT EXISTS (SELECT FROM annul_entry e WHERE e.namespace = $1::bigint AND e.place > $2::bigint)";

/// A hint to those who listen. Never in the transaction of a revocation: committing it takes a lock that all who notify
/// share.
pub(super) const NOTIFY: &str = "\
SELECT pg_notify('annul_' || 'annul_entry'::regclass::oid, '')";
