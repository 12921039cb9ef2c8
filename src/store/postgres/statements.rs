//! What is sent to the database: each of these is a transaction of its own, and one round trip.

/// A token, and the narrowest kind of entry that covers it: eight look-ups by primary key.
///
/// `$1` the digest, `$2` the token's own key, `$3` the key of everything.
pub(super) const FIND: &str = "\
SELECT t.kind, t.consumed, t.issued_at, t.expires_at, t.authenticated_at, t.offline,
       t.grant_id, t.client_id, t.subject, t.session, t.scope, t.counterpart,
       (SELECT e.kind FROM annul_entry e
        WHERE e.key = ANY (ARRAY[$2::bytea, t.grant_key, t.session_key, t.pair_key, t.subject_key, t.client_key,
                                 $3::bytea])
        AND annul_covers(e.kind, e.at, t.authenticated_at)
        ORDER BY e.kind LIMIT 1)
FROM annul_token t WHERE t.digest = $1::bytea";

/// Writes one entry, moves its cutoff forward, or keeps it for as long as a new one would be kept; nothing, and no lock,
/// where the ledger says so already and keeps it long enough. The answer: a row where anything was written, and whether it
/// is news.
///
/// `$1` key, `$2` namespace, `$3` kind, `$4` cutoff, `$5` when it is recorded, `$6` the longest lifetime of what is not
/// recorded, `$7` how long what is in flight may take, `$8` name, `$9` client, `$10` reason, `$11` actor, `$12` the actor's
/// name, `$13` leap.
pub(super) const REVOKE: &str = "\
WITH lasts AS MATERIALIZED (
    SELECT annul_entry_until((SELECT n.horizon FROM annul_namespace n WHERE n.namespace = $2::bigint),
                             greatest($4::bigint, $5::bigint, (SELECT c.latest FROM annul_clock c)), $6::bigint, $7::bigint) AS until
)
INSERT INTO annul_entry AS e (key, namespace, kind, at, until, due, name, client, reason, actor, actor_client)
SELECT $1::bytea, $2::bigint, $3::smallint, $4::bigint, w.until, 0, $8::bytea, $9::bytea, $10::text, $11::text,
       $12::bytea
FROM lasts w
WHERE NOT EXISTS (SELECT FROM annul_entry k WHERE k.key = $1::bytea
                  AND NOT annul_moves(k.kind, k.at, $4::bigint) AND k.until >= w.until)
ON CONFLICT (key) DO UPDATE
SET until = greatest(e.until, excluded.until), due = 0, place = excluded.place,
    news = annul_moves(e.kind, e.at, excluded.at),
    at = CASE WHEN annul_moves(e.kind, e.at, excluded.at) THEN excluded.at ELSE e.at END,
    reason = CASE WHEN annul_moves(e.kind, e.at, excluded.at) THEN excluded.reason ELSE e.reason END,
    actor = CASE WHEN annul_moves(e.kind, e.at, excluded.at) THEN excluded.actor ELSE e.actor END,
    actor_client = CASE WHEN annul_moves(e.kind, e.at, excluded.at) THEN excluded.actor_client ELSE e.actor_client END
WHERE annul_moves(e.kind, e.at, excluded.at) OR e.until < excluded.until
RETURNING e.news, annul_note($5::bigint, $13::bigint)";

/// Writes the entry for one token that a client revokes; and one for its grant if the token was consumed since it was
/// looked up: by then revoking it means that, and its successors would live. Both are kept, and answered, as by `REVOKE`.
///
/// The token's row is locked first. A rotation that was there before is waited for, and `consumed` is what it left; one
/// that comes later waits, and sees the entry.
///
/// `$1` digest, `$2` key, `$3` namespace, `$4` cutoff, `$5` when it is recorded, `$6` the longest lifetime of what is not
/// recorded, `$7` in flight, `$8` the kind of a token, `$9` the kind of a grant, `$10` reason, `$11` actor, `$12` the
/// client's name, `$13` leap.
pub(super) const REVOKE_OWN_TOKEN: &str = "\
WITH found AS MATERIALIZED (
    SELECT t.consumed, t.grant_key, t.grant_id FROM annul_token t WHERE t.digest = $1::bytea FOR SHARE
), lasts AS MATERIALIZED (
    SELECT annul_entry_until((SELECT n.horizon FROM annul_namespace n WHERE n.namespace = $3::bigint),
                             greatest($4::bigint, $5::bigint, (SELECT c.latest FROM annul_clock c)), $6::bigint, $7::bigint) AS until
), wanted AS MATERIALIZED (
    SELECT $2::bytea AS key, $8::smallint AS kind, $1::bytea AS name
    UNION ALL
    SELECT f.grant_key, $9::smallint, f.grant_id FROM found f WHERE f.consumed
), written AS (
    INSERT INTO annul_entry AS e (key, namespace, kind, at, until, due, name, reason, actor, actor_client)
    SELECT w.key, $3::bigint, w.kind, $4::bigint, l.until, 0, w.name, $10::text, $11::text, $12::bytea
    FROM wanted w, lasts l
    WHERE NOT EXISTS (SELECT FROM annul_entry k WHERE k.key = w.key AND k.until >= l.until)
    ORDER BY w.key
    ON CONFLICT (key) DO UPDATE
    SET until = greatest(e.until, excluded.until), due = 0, place = excluded.place, news = false
    WHERE e.until < excluded.until
    RETURNING e.news
)
SELECT bool_or(w.news), annul_note($5::bigint, $13::bigint) FROM written w HAVING count(*) > 0";

/// Records tokens, and says whether an entry covers them, which then stays for longer than they do: to the horizon, which
/// moves seldom, so that many tokens that are born dead write seldom.
///
/// Nothing is done unless the horizon that this statement sees reaches `$2`; nor if the grant is another client's or subject's,
/// or a token another grant's. The grant's row is there first, and is locked or written, so that no sweep takes it before
/// the tokens; so is each entry that covers them. A token that another statement records at the same time is an error, and
/// then nothing is done either.
///
/// `$1` namespace, `$2` until when the grant is kept, `$3` now, `$4` leap, `$5` in flight, `$6`.. what they share, `$18`..
/// what each of them is, `$25` the keys of all entries that may cover them.
pub(super) const ISSUE: &str = "\
WITH ready AS MATERIALIZED (
    SELECT n.horizon FROM annul_namespace n
    WHERE n.namespace = $1::bigint AND n.horizon >= $2::bigint
), known AS MATERIALIZED (
    SELECT g.owner = coalesce($10::bytea, $12::bytea) AS is_own, g.due >= $2::bigint AS is_kept
    FROM ready, annul_grant g WHERE g.key = $8::bytea FOR KEY SHARE OF g
), taken AS MATERIALIZED (
    SELECT FROM ready, unnest($18::bytea[], $19::text[]) AS w(digest, kind) JOIN annul_token t ON t.digest = w.digest
    WHERE t.grant_key <> $8::bytea OR t.kind <> w.kind
), fit AS MATERIALIZED (
    SELECT FROM ready
    WHERE NOT EXISTS (SELECT FROM taken) AND NOT EXISTS (SELECT FROM known k WHERE NOT k.is_own)
), granted AS (
    INSERT INTO annul_grant AS g (key, namespace, owner, generation, rotated_at, due)
    SELECT $8::bytea, $1::bigint, coalesce($10::bytea, $12::bytea), 0, 0, $2::bigint
    FROM fit WHERE NOT EXISTS (SELECT FROM known k WHERE k.is_kept)
    ON CONFLICT (key) DO UPDATE SET due = greatest(g.due, excluded.due) WHERE g.owner = excluded.owner
    RETURNING 1
), allowed AS MATERIALIZED (
    SELECT FROM fit WHERE EXISTS (SELECT FROM known k WHERE k.is_kept) OR EXISTS (SELECT FROM granted)
), written AS (
    INSERT INTO annul_token
        (digest, kind, consumed, generation, issued_at, expires_at, due, authenticated_at, offline,
         grant_key, session_key, pair_key, subject_key, client_key,
         grant_id, client_id, subject, session, scope, counterpart)
    SELECT w.digest, w.kind, w.consumed, w.generation, $3::bigint, w.expires_at, w.due, $6::bigint, $7::boolean,
           $8::bytea, $9::bytea, $10::bytea, $11::bytea, $12::bytea,
           $13::bytea, $14::bytea, $15::bytea, $16::bytea, $17::bytea, w.counterpart
    FROM allowed, unnest($18::bytea[], $19::text[], $20::boolean[], $21::integer[], $22::bigint[], $23::bigint[],
                         $24::bytea[])
        AS w(digest, kind, consumed, generation, expires_at, due, counterpart)
    WHERE NOT EXISTS (SELECT FROM annul_token t WHERE t.digest = w.digest)
    ORDER BY w.digest
    RETURNING 1
), covering AS MATERIALIZED (
    SELECT e.key, e.kind, e.until >= annul_entry_outlives($2::bigint, $5::bigint) AS is_kept
    FROM allowed, annul_entry e
    WHERE e.key = ANY ($25::bytea[]) AND annul_covers(e.kind, e.at, $6::bigint)
    FOR KEY SHARE OF e
), held AS (
    UPDATE annul_entry e SET until = greatest(e.until, annul_entry_outlives(r.horizon, $5::bigint))
    FROM ready r, (
          SELECT l.key FROM annul_entry l
          WHERE l.key = ANY (ARRAY(SELECT c.key FROM covering c WHERE NOT c.is_kept))
          ORDER BY l.key FOR NO KEY UPDATE) l
    WHERE e.key = l.key
    RETURNING e.kind
)
SELECT EXISTS (SELECT FROM ready), EXISTS (SELECT FROM known k WHERE NOT k.is_own), EXISTS (SELECT FROM taken),
       EXISTS (SELECT FROM allowed), (SELECT count(*) FROM written),
       least((SELECT min(c.kind) FROM covering c WHERE c.is_kept), (SELECT min(h.kind) FROM held h)),
       CASE WHEN EXISTS (SELECT FROM allowed) THEN annul_note($3::bigint, $4::bigint) END";

/// Says, before it is recorded and in a transaction of its own, that something is kept for so long.
///
/// `$1` namespace, `$2` the horizon, `$3` the key of everything.
pub(super) const RAISE: &str = "\
INSERT INTO annul_namespace AS n (namespace, horizon, everything) VALUES ($1::bigint, $2::bigint, $3::bytea)
ON CONFLICT (namespace) DO UPDATE SET horizon = excluded.horizon, everything = excluded.everything
WHERE n.horizon < excluded.horizon";

/// Rotates a refresh token; the function is in the schema.
pub(super) const ROTATE: &str = "\
SELECT r.outcome, r.covered_by,
       (r.spent).kind, (r.spent).consumed, (r.spent).issued_at, (r.spent).expires_at, (r.spent).authenticated_at,
       (r.spent).offline, (r.spent).grant_id, (r.spent).client_id, (r.spent).subject, (r.spent).session,
       (r.spent).scope, (r.spent).counterpart
FROM annul_rotate($1::bigint, $2::bytea, $3::bytea, $4::bytea, $5::bytea, $6::bigint, $7::bigint, $8::bigint, $9::bigint,
                  $10::bigint, $11::bigint, $12::integer, $13::bytea[], $14::bytea[], $15::text[], $16::boolean[],
                  $17::integer[], $18::bigint[], $19::bigint[], $20::bytea[]) r";

/// Opens or joins a session, unless it was logged out or is another subject's.
///
/// `$1` namespace, `$2` the horizon that it needs, `$3` until when it is kept, `$4` key, `$5` id, `$6` subject, `$7` its
/// beginning, `$8` its end, `$9` clients.
pub(super) const OPEN_SESSION: &str = "\
WITH ready AS MATERIALIZED (
    SELECT FROM annul_namespace n
    WHERE n.namespace = $1::bigint AND n.horizon >= $2::bigint
), ended AS MATERIALIZED (
    SELECT FROM annul_entry e WHERE e.key = $4::bytea
), opened AS (
    INSERT INTO annul_session AS s (key, namespace, id, subject, started_at, expires_at, due, clients)
    SELECT $4::bytea, $1::bigint, $5::bytea, $6::bytea, $7::bigint, $8::bigint, $3::bigint, $9::bytea[]
    FROM ready WHERE NOT EXISTS (SELECT FROM ended)
    ON CONFLICT (key) DO UPDATE
    SET started_at = least(s.started_at, excluded.started_at),
        expires_at = greatest(s.expires_at, excluded.expires_at),
        due = greatest(s.due, excluded.due),
        clients = s.clients || ARRAY(SELECT c.id FROM unnest(excluded.clients) WITH ORDINALITY AS c(id, n)
                                     WHERE c.id <> ALL (s.clients) ORDER BY c.n)
    WHERE s.subject = excluded.subject
    RETURNING 1
)
SELECT EXISTS (SELECT FROM ready), EXISTS (SELECT FROM ended), EXISTS (SELECT FROM opened)";

pub(super) const SESSION: &str = "\
SELECT s.subject, s.started_at, s.expires_at, s.clients FROM annul_session s WHERE s.key = $1::bytea";

/// What a sweep compares its clock with.
pub(super) const CLOCK: &str = "SELECT c.latest, c.leaped_to FROM annul_clock c";

/// Writes the clock down, unless it changed since it was read.
///
/// `$1` the latest time, `$2` what it leaped to, `$3` and `$4` both as they were read.
pub(super) const SET_CLOCK: &str = "\
UPDATE annul_clock c SET latest = $1::bigint, leaped_to = $2::bigint
WHERE c.latest = $3::bigint AND c.leaped_to IS NOT DISTINCT FROM $4::bigint
RETURNING 1";

/// Until when the first token, the first grant and the first session are kept: one look-up by an index each.
pub(super) const FIRST_DUE: &str = "\
SELECT (SELECT min(t.due) FROM annul_token t), (SELECT min(g.due) FROM annul_grant g),
       (SELECT min(s.due) FROM annul_session s)";

pub(super) const SWEEP_TOKENS: &str = "\
SELECT looked, removed, reached FROM annul_sweep_tokens($1::bigint, $2::bigint, $3::integer)";

pub(super) const SWEEP_GRANTS: &str = "\
SELECT looked, removed, reached FROM annul_sweep_grants($1::bigint, $2::bigint, $3::integer)";

pub(super) const SWEEP_SESSIONS: &str = "\
SELECT looked, removed, reached FROM annul_sweep_sessions($1::bigint, $2::bigint, $3::integer)";

pub(super) const SWEEP_ENTRIES: &str = "\
SELECT looked, removed, reached FROM annul_sweep_entries($1::bigint, $2::bigint, $3::integer, $4::bigint)";

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
