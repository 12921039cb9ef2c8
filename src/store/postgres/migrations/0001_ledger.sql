-- annul, PostgreSQL schema, version 1.
--
-- Apply it with PostgresStore::migrate, or with `psql -v ON_ERROR_STOP=1 -f 0001_ledger.sql`. Everything goes into the
-- first schema of the search path, and every name begins with `annul_`. PostgreSQL 13 or later.
--
-- Names are kept as the bytes of their UTF-8, whatever the encoding and the collation of the database are:
-- `convert_from(client_id, 'UTF8')` shows one. Times are milliseconds since 1970. Keys are the first sixteen bytes of a
-- keyed digest of what they stand for, the namespace's name included, so no row of one namespace is ever found by
-- another's key.

BEGIN;

-- Whoever comes second waits, and then fails at the first line below.
SELECT pg_advisory_xact_lock(1634627189, 1);

CREATE TABLE annul_schema (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version   integer NOT NULL,
    -- Tells this feed from every other. Change it (`UPDATE annul_schema SET epoch = gen_random_uuid()`) after a disk was
    -- put back to an older state, so that readers begin again.
    epoch     uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Tells whether a process that connects has the digest key that the rows were written with.
    key_check bytea
);

-- The latest time that was seen and believed; 0: none was.
CREATE TABLE annul_clock (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    latest    bigint NOT NULL DEFAULT 0,
    -- What a sweeper's clock showed when it was first found too far ahead of that.
    leaped_to bigint
) WITH (fillfactor = 50);

-- One row for each namespace.
CREATE TABLE annul_namespace (
    namespace  bigint PRIMARY KEY,
    -- No record of a token, a grant or a session was ever to be kept for longer.
    horizon    bigint NOT NULL DEFAULT 0,
    -- The last place in the feed that a sweep has taken an entry from.
    swept      bigint NOT NULL DEFAULT 0,
    -- The key of the entry for everything.
    everything bytea
) WITH (fillfactor = 50);

CREATE TABLE annul_token (
    digest           bytea PRIMARY KEY,
    kind             text NOT NULL,      -- a: access token, r: refresh token
    consumed         boolean NOT NULL,
    generation       integer NOT NULL,
    issued_at        bigint NOT NULL,
    expires_at       bigint NOT NULL,
    due              bigint NOT NULL,    -- until when it is kept
    authenticated_at bigint NOT NULL,
    offline          boolean NOT NULL,
    -- What may cover it, beside an entry for itself and one for everything.
    grant_key        bytea NOT NULL,
    session_key      bytea,
    pair_key         bytea,              -- its subject at its client
    subject_key      bytea,
    client_key       bytea NOT NULL,
    grant_id         bytea NOT NULL,
    client_id        bytea NOT NULL,
    subject          bytea,
    session          bytea,
    scope            bytea,
    counterpart      bytea
) WITH (
    fillfactor = 90,  -- to be rotated changes no index
    autovacuum_vacuum_scale_factor = 0.02
);
CREATE INDEX annul_token_due ON annul_token (due);

-- One row for each grant, for as long as a token of it is recorded.
CREATE TABLE annul_grant (
    key        bytea PRIMARY KEY,
    namespace  bigint NOT NULL,
    -- Whose it is: the key of its subject at its client, or that of its client where it has no subject.
    owner      bytea NOT NULL,
    -- The highest generation of successors so far, and when the first ones of it were issued. 0: not rotated yet.
    generation integer NOT NULL,
    rotated_at bigint NOT NULL,
    due        bigint NOT NULL     -- until when it is kept; to the hour, so that it seldom changes
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX annul_grant_due ON annul_grant (due);

CREATE TABLE annul_session (
    key        bytea PRIMARY KEY,
    namespace  bigint NOT NULL,
    id         bytea NOT NULL,
    subject    bytea NOT NULL,
    started_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    due        bigint NOT NULL,    -- until when it is kept
    clients    bytea[] NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX annul_session_due ON annul_session (due);
CREATE INDEX annul_session_login ON annul_session (namespace, started_at);

CREATE SEQUENCE annul_place;

-- The next place in the feed. The lock is held until the entry is committed or given up, and it is taken before the place
-- is drawn: who looks at the sequence first and at the holders of the lock then sees everybody whose place is not beyond.
CREATE FUNCTION annul_draw() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1634627189, 'annul_entry'::regclass::oid::integer);
    RETURN nextval('annul_place');
END
$$;

-- The ledger.
CREATE TABLE annul_entry (
    key          bytea PRIMARY KEY,
    namespace    bigint NOT NULL,
    place        bigint NOT NULL DEFAULT annul_draw(),
    -- 0 token, 1 grant, 2 session, 3 subject at client, 4 subject, 5 client, 6 everything
    kind         smallint NOT NULL,
    -- Whether what was written last was new, or moved its cutoff. Otherwise it said as much already.
    news         boolean NOT NULL DEFAULT true,
    at           bigint NOT NULL,        -- its cutoff
    until        bigint NOT NULL,        -- until when it is kept, as far as is known
    due          bigint NOT NULL,        -- when a sweep looks at it; 0: none has since it was written
    name         bytea NOT NULL,
    client       bytea,                  -- of a subject at a client
    reason       text NOT NULL,
    actor        text NOT NULL,          -- o: the operator, s: the store, c: a client
    actor_client bytea
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX annul_entry_feed ON annul_entry (namespace, place);
CREATE INDEX annul_entry_due ON annul_entry (due);

-- The rules. Each is here once, and is the one of the module `store::rules` in Rust; the same vectors try both. The planner
-- puts them in place where they are called.

-- Whether what an entry of this kind names exists once, so that to name it is enough.
CREATE FUNCTION annul_named_once(kind smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT kind <= 2';

-- Whether an entry covers what was authenticated then.
CREATE FUNCTION annul_covers(kind smallint, cutoff bigint, authenticated_at bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT annul_named_once(kind) OR authenticated_at <= cutoff';

-- Whether a new cutoff moves the one that is known.
CREATE FUNCTION annul_moves(kind smallint, known bigint, cutoff bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT NOT annul_named_once(kind) AND known < cutoff';

-- Until when an entry is kept that is recorded then.
CREATE FUNCTION annul_entry_until(horizon bigint, recorded_at bigint, longest_unrecorded bigint, in_flight bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT greatest(horizon, recorded_at + longest_unrecorded) + in_flight';

-- Until when an entry is kept that covers a record which is kept until then.
CREATE FUNCTION annul_entry_outlives(record_until bigint, in_flight bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT record_until + greatest(in_flight, 1)';

-- The generation of the successors. The last one keeps its own.
CREATE FUNCTION annul_next_generation(generation integer, last_generation integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT least(generation + 1, last_generation)';

-- Whether a repetition is within the grace window, which has two sides.
CREATE FUNCTION annul_in_window(rotated_at bigint, at bigint, grace bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT abs(at - rotated_at) < grace';

-- The narrowest kind of entry that covers a token, as of the calling statement.
CREATE FUNCTION annul_covered_by(token annul_token, token_key bytea, everything_key bytea) RETURNS smallint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT e.kind FROM annul_entry e
            WHERE e.key = ANY (ARRAY[token_key, token.grant_key, token.session_key, token.pair_key, token.subject_key,
                                     token.client_key, everything_key])
            AND annul_covers(e.kind, e.at, token.authenticated_at)
            ORDER BY e.kind LIMIT 1);
END
$$;

-- Takes note of the time of a write: to the minute, and not if the clock leaps. A clock that does not leap contradicts one
-- that did. Called last, for the clock is locked after everything else.
CREATE FUNCTION annul_note(at bigint, leap bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE annul_clock c
        SET latest = CASE WHEN at >= c.latest + 60000 THEN at ELSE c.latest END, leaped_to = NULL
        WHERE (c.latest = 0 OR at <= c.latest + leap) AND (at >= c.latest + 60000 OR c.leaped_to IS NOT NULL);
    RETURN FOUND;
END
$$;

-- Rotates one refresh token: consumes it and records its successors. Locks: the token, its grant, the successors, entries,
-- the clock.
--
-- outcome: 0 rotated, 1 rotated in its grace window, 2 unknown, 3 no refresh token, 4 another client's, 5 revoked,
-- 6 expired, 7 reused, 8 a successor is another grant's, 9 the horizon is to be raised first, and nothing was done.
CREATE FUNCTION annul_rotate(
    in_namespace bigint, in_digest bytea, in_token_key bytea, in_everything_key bytea, in_client bytea,
    in_now bigint, in_grace bigint, in_due bigint, in_leap bigint, in_unrecorded bigint, in_in_flight bigint,
    in_last_generation integer,
    in_digests bytea[], in_token_keys bytea[], in_kinds text[], in_consumed boolean[], in_generations integer[],
    in_expiries bigint[], in_dues bigint[], in_counterparts bytea[],
    OUT outcome smallint, OUT covered_by smallint, OUT spent annul_token
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    old annul_token;
    family annul_grant;
    horizon bigint;
    next_generation integer;
    found_in_grace boolean;
    recorded bytea[];
BEGIN
    SELECT * INTO spent FROM annul_token t WHERE t.digest = in_digest;
    IF NOT FOUND THEN outcome := 2; RETURN; END IF;
    IF spent.kind <> 'r' THEN outcome := 3; RETURN; END IF;
    IF spent.client_id <> in_client THEN outcome := 4; RETURN; END IF;
    -- Without a lock first: to refuse what was revoked costs no write.
    covered_by := annul_covered_by(spent, in_token_key, in_everything_key);
    IF covered_by IS NOT NULL THEN outcome := 5; RETURN; END IF;
    SELECT n.horizon INTO horizon FROM annul_namespace n
        WHERE n.namespace = in_namespace AND n.horizon >= in_due;
    IF NOT FOUND THEN outcome := 9; RETURN; END IF;

    -- Of all callers with this token, one finds it not yet consumed.
    SELECT * INTO old FROM annul_token t WHERE t.digest = in_digest FOR NO KEY UPDATE;
    IF NOT FOUND THEN outcome := 2; RETURN; END IF;
    -- As it was when it was locked.
    spent := old;
    -- A client's revocation of this token alone holds the token's row until it is committed. So it is seen here, or it sees
    -- that the token was consumed, and ends the grant.
    covered_by := annul_covered_by(old, in_token_key, in_everything_key);
    IF covered_by IS NOT NULL THEN outcome := 5; RETURN; END IF;
    next_generation := annul_next_generation(old.generation, in_last_generation);
    SELECT * INTO family FROM annul_grant g WHERE g.key = old.grant_key FOR NO KEY UPDATE;
    IF old.consumed THEN
        -- Only the generation before the present one. What was rotated elsewhere is beyond the last, and has no window.
        found_in_grace := FOUND AND old.generation <= in_last_generation AND family.generation = next_generation
            AND annul_in_window(family.rotated_at, in_now, in_grace);
        IF NOT found_in_grace THEN
            INSERT INTO annul_entry AS e (key, namespace, kind, at, until, due, name, reason, actor)
            SELECT old.grant_key, in_namespace, 1, in_now,
                   annul_entry_until(horizon, greatest(in_now, c.latest), in_unrecorded, in_in_flight), 0, old.grant_id,
                   'refresh_token_reuse', 's'
            FROM annul_clock c
            ON CONFLICT (key) DO NOTHING;
            PERFORM annul_note(in_now, in_leap);
            outcome := 7;
            RETURN;
        END IF;
        IF old.expires_at <= in_now THEN outcome := 6; RETURN; END IF;
        UPDATE annul_grant g SET due = greatest(in_due, old.due)
            WHERE g.key = old.grant_key AND g.due < greatest(in_due, old.due);
        outcome := 1;
    ELSE
        IF old.expires_at <= in_now THEN outcome := 6; RETURN; END IF;
        UPDATE annul_token t SET consumed = true WHERE t.digest = in_digest;
        -- A slower branch of the same family leaves the window with the first successors.
        INSERT INTO annul_grant AS g (key, namespace, owner, generation, rotated_at, due)
        VALUES (old.grant_key, in_namespace, coalesce(old.pair_key, old.client_key), next_generation, in_now,
                greatest(in_due, old.due))
        ON CONFLICT (key) DO UPDATE SET
            due = greatest(g.due, excluded.due),
            rotated_at = CASE WHEN g.generation < excluded.generation THEN excluded.rotated_at ELSE g.rotated_at END,
            generation = greatest(g.generation, excluded.generation);
        outcome := 0;
    END IF;

    WITH written AS (
        INSERT INTO annul_token
            (digest, kind, consumed, generation, issued_at, expires_at, due, authenticated_at, offline,
             grant_key, session_key, pair_key, subject_key, client_key,
             grant_id, client_id, subject, session, scope, counterpart)
        SELECT n.digest, n.kind, n.consumed, coalesce(n.generation, next_generation), in_now, n.expires_at, n.due,
               old.authenticated_at, old.offline,
               old.grant_key, old.session_key, old.pair_key, old.subject_key, old.client_key,
               old.grant_id, old.client_id, old.subject, old.session, old.scope, n.counterpart
        FROM unnest(in_digests, in_kinds, in_consumed, in_generations, in_expiries, in_dues, in_counterparts)
            AS n(digest, kind, consumed, generation, expires_at, due, counterpart)
        ORDER BY n.digest
        ON CONFLICT (digest) DO NOTHING
        RETURNING digest
    )
    SELECT array_agg(w.digest) INTO recorded FROM written w;
    PERFORM FROM unnest(in_digests, in_kinds) AS n(digest, kind) JOIN annul_token t ON t.digest = n.digest
        WHERE t.grant_key <> old.grant_key OR t.kind <> n.kind;
    IF FOUND THEN
        -- None of the successors is recorded. The token stays consumed: to undo that would let two callers rotate it.
        DELETE FROM annul_token t WHERE t.digest = ANY (recorded);
        outcome := 8;
        RETURN;
    END IF;

    -- Revoked while the rotation was under way: the successors are born dead, and the entry stays for longer than they.
    WITH held AS (
        UPDATE annul_entry e SET until = greatest(e.until, annul_entry_outlives(horizon, in_in_flight))
        FROM (SELECT l.key FROM annul_entry l
              WHERE l.key = ANY (in_token_keys || ARRAY[old.grant_key, old.session_key, old.pair_key, old.subject_key,
                                                        old.client_key, in_everything_key])
              AND annul_covers(l.kind, l.at, old.authenticated_at)
              ORDER BY l.key FOR NO KEY UPDATE) l
        WHERE e.key = l.key RETURNING e.kind
    )
    SELECT min(h.kind) INTO covered_by FROM held h;
    IF covered_by IS NOT NULL THEN outcome := 5; END IF;
    PERFORM annul_note(in_now, in_leap);
END
$$;

-- Sweeps. Each locks what is due and not locked by another, and looks at it in a statement of its own, whose snapshot is
-- younger than what was locked. `reached` is where the next one of the same run may begin: what is before it was looked at,
-- and only dead index entries are left there.
--
-- A grant goes after its tokens, and an entry after every record that it may cover. So grants are removed that were due before
-- the first token that is left, and entries that were due before the first token, grant or session that is left. That is
-- read after the row is locked: whatever records something under a grant, or under an entry that it sees, holds a lock on
-- that row until it is committed. What another sweep has locked and not removed yet is left.

CREATE FUNCTION annul_sweep_tokens(
    in_now bigint, in_from bigint, in_rows integer,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    digests bytea[];
    rotated bytea[];
BEGIN
    SELECT coalesce(array_agg(d.digest), '{}'), coalesce(array_agg(d.digest) FILTER (WHERE d.consumed), '{}'), max(d.due)
        INTO digests, rotated, reached
        FROM (SELECT t.digest, t.consumed, t.due FROM annul_token t WHERE t.due >= in_from AND t.due <= in_now
              ORDER BY t.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(digests);
    -- A consumed refresh token is kept for as long as its grant: it may come back. But not for longer than an entry that
    -- covers it, which may be of another session or login than what the grant is kept for.
    IF cardinality(rotated) > 0 THEN
        UPDATE annul_token t SET due = g.due
            FROM annul_grant g LEFT JOIN annul_namespace n ON n.namespace = g.namespace
            WHERE t.digest = ANY (rotated) AND g.key = t.grant_key AND g.due > in_now
            AND NOT EXISTS (
                SELECT FROM annul_entry e
                WHERE e.key = ANY (ARRAY[t.grant_key, t.session_key, t.pair_key, t.subject_key, t.client_key, n.everything])
                AND annul_covers(e.kind, e.at, t.authenticated_at) AND e.until <= g.due);
    END IF;
    DELETE FROM annul_token t WHERE t.digest = ANY (digests) AND t.due <= in_now;
    GET DIAGNOSTICS removed = ROW_COUNT;
END
$$;

CREATE FUNCTION annul_sweep_grants(
    in_now bigint, in_from bigint, in_rows integer,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bytea[];
BEGIN
    SELECT coalesce(array_agg(d.key), '{}'), max(d.due) INTO keys, reached
        FROM (SELECT g.key, g.due FROM annul_grant g WHERE g.due >= in_from AND g.due <= in_now
              ORDER BY g.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(keys);
    DELETE FROM annul_grant g WHERE g.key = ANY (keys) AND g.due <= in_now
        AND g.due < coalesce((SELECT min(t.due) FROM annul_token t), g.due + 1);
    GET DIAGNOSTICS removed = ROW_COUNT;
END
$$;

CREATE FUNCTION annul_sweep_sessions(
    in_now bigint, in_from bigint, in_rows integer,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bytea[];
BEGIN
    SELECT coalesce(array_agg(d.key), '{}'), max(d.due) INTO keys, reached
        FROM (SELECT s.key, s.due FROM annul_session s WHERE s.due >= in_from AND s.due <= in_now
              ORDER BY s.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(keys);
    DELETE FROM annul_session s WHERE s.key = ANY (keys) AND s.due <= in_now;
    GET DIAGNOSTICS removed = ROW_COUNT;
END
$$;

CREATE FUNCTION annul_sweep_entries(
    in_now bigint, in_from bigint, in_rows integer, in_in_flight bigint,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bytea[];
    -- What is due up to then may go.
    free bigint;
BEGIN
    SELECT coalesce(array_agg(d.key), '{}'), max(d.due) INTO keys, reached
        FROM (SELECT e.key, e.due FROM annul_entry e WHERE e.due >= in_from AND e.due <= in_now
              ORDER BY e.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(keys);
    free := least(in_now, (SELECT min(t.due) FROM annul_token t) - 1, (SELECT min(g.due) FROM annul_grant g) - 1,
                  (SELECT min(s.due) FROM annul_session s) - 1);
    -- Those that no sweep has looked at since they were written learn what they may cover: the horizon of now, after their
    -- commit. A cutoff is kept while a session lasts that began before it, and the entry of a token while the token is
    -- recorded. Where that is news, and not of the past, the readers of the feed are told again. Others were held by what
    -- was recorded since.
    UPDATE annul_entry e
        SET until = j.needed, due = j.needed,
            place = CASE WHEN j.needed > greatest(e.until, in_now) THEN annul_draw() ELSE e.place END
        FROM (SELECT e.key,
                     greatest(e.until, CASE WHEN e.due = 0 THEN n.horizon + in_in_flight END, s.needed, t.needed) AS needed
              FROM annul_entry e LEFT JOIN annul_namespace n ON n.namespace = e.namespace
              LEFT JOIN LATERAL (
                  SELECT annul_entry_outlives(greatest(l.due, in_now), in_in_flight) AS needed FROM annul_session l
                  WHERE NOT annul_named_once(e.kind) AND l.namespace = e.namespace AND l.started_at <= e.at
                  ORDER BY l.started_at DESC LIMIT 1
              ) s ON true
              LEFT JOIN LATERAL (
                  SELECT annul_entry_outlives(greatest(o.due, in_now), in_in_flight) AS needed FROM annul_token o
                  WHERE e.kind = 0 AND o.digest = e.name
              ) t ON true
              WHERE e.key = ANY (keys)) j
        WHERE e.key = j.key AND j.needed > free;
    -- Its place is the one where it was told last. Who read it at an earlier one alone has to begin again: whether they did
    -- cannot be told from where they are.
    WITH gone AS (
        DELETE FROM annul_entry e WHERE e.key = ANY (keys) AND e.due <= free
        RETURNING e.namespace, e.place
    ), told AS (
        INSERT INTO annul_namespace AS n (namespace, swept)
        SELECT g.namespace, max(g.place) FROM gone g GROUP BY g.namespace ORDER BY g.namespace
        ON CONFLICT (namespace) DO UPDATE SET swept = greatest(n.swept, excluded.swept)
    )
    SELECT count(*) INTO removed FROM gone;
END
$$;

INSERT INTO annul_schema (version) VALUES (1);
INSERT INTO annul_clock DEFAULT VALUES;

COMMIT;
