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

-- One row for each namespace.
CREATE TABLE annul_namespace (
    namespace bigint PRIMARY KEY,
    -- No token or session that was ever recorded lasts longer.
    horizon   bigint NOT NULL DEFAULT 0,
    -- The last place in the feed that a sweep has taken an entry from.
    swept     bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE annul_token (
    digest           bytea PRIMARY KEY,
    kind             smallint NOT NULL,  -- 0 access token, 1 refresh token
    consumed         boolean NOT NULL,
    generation       integer NOT NULL,
    issued_at        bigint NOT NULL,
    expires_at       bigint NOT NULL,
    due              bigint NOT NULL,    -- when a sweep looks at it
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

-- The refresh tokens of one grant that was rotated at least once.
CREATE TABLE annul_family (
    key           bytea PRIMARY KEY,
    generation    integer NOT NULL,
    rotated_at    bigint NOT NULL,
    latest_expiry bigint NOT NULL,
    due           bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX annul_family_due ON annul_family (due);

CREATE TABLE annul_session (
    key        bytea PRIMARY KEY,
    id         bytea NOT NULL,
    subject    bytea NOT NULL,
    started_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    due        bigint NOT NULL,
    clients    bytea[] NOT NULL,
    -- The targets whose entries end its login without naming it.
    holds      bytea[] NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX annul_session_due ON annul_session (due);

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
    -- 0 token by its digest, 1 grant, 2 session, 3 subject at client, 4 subject, 5 client, 6 everything, 7 token by name
    kind         smallint NOT NULL,
    at           bigint NOT NULL,
    until        bigint NOT NULL,        -- from when on nobody needs it, as far as is known
    due          bigint NOT NULL,        -- when a sweep looks at it; 0: nobody has since it was committed
    name         bytea NOT NULL,
    client       bytea,                  -- of a subject at a client
    reason       text NOT NULL,
    actor        smallint NOT NULL,      -- 0 the operator, 1 the store, 2 a client
    actor_client bytea
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX annul_entry_feed ON annul_entry (namespace, place);
CREATE INDEX annul_entry_due ON annul_entry (due);

-- Rotates one refresh token: consumes it and records its successors. Locks: the token, its family, entries.
--
-- outcome: 0 rotated, 1 rotated in its grace window, 2 unknown, 3 no refresh token, 4 another client's, 5 revoked,
-- 6 expired, 7 reused, 8 a successor is another grant's, 9 the horizon is to be raised first, and nothing was done.
CREATE FUNCTION annul_rotate(
    in_namespace bigint, in_digest bytea, in_token_key bytea, in_everything_key bytea, in_client bytea,
    in_now bigint, in_grace bigint, in_latest bigint, in_kept bigint, in_in_flight bigint,
    in_digests bytea[], in_token_keys bytea[], in_kinds smallint[], in_consumed boolean[], in_generations integer[],
    in_expiries bigint[], in_dues bigint[], in_counterparts bytea[],
    OUT outcome smallint, OUT covered_by smallint, OUT spent annul_token
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    old annul_token;
    family annul_family;
    longest bigint;
    horizon bigint;
    next_generation integer;
    found_in_grace boolean;
BEGIN
    SELECT * INTO spent FROM annul_token t WHERE t.digest = in_digest;
    IF NOT FOUND THEN outcome := 2; RETURN; END IF;
    IF spent.kind <> 1 THEN outcome := 3; RETURN; END IF;
    IF spent.client_id <> in_client THEN outcome := 4; RETURN; END IF;
    SELECT e.kind INTO covered_by FROM annul_entry e
        WHERE e.key = ANY (ARRAY[in_token_key, spent.grant_key, spent.session_key, spent.pair_key, spent.subject_key,
                                 spent.client_key, in_everything_key])
        AND (e.kind <= 2 OR e.at >= spent.authenticated_at)
        ORDER BY e.kind LIMIT 1;
    IF FOUND THEN outcome := 5; RETURN; END IF;
    longest := greatest(in_latest, spent.expires_at);
    SELECT n.horizon INTO horizon FROM annul_namespace n WHERE n.namespace = in_namespace AND n.horizon >= longest;
    IF NOT FOUND THEN outcome := 9; RETURN; END IF;

    -- Of all callers with this token, one finds it not yet consumed.
    SELECT * INTO old FROM annul_token t WHERE t.digest = in_digest FOR NO KEY UPDATE;
    IF NOT FOUND THEN outcome := 6; RETURN; END IF;
    -- As it was when it was locked.
    spent := old;
    next_generation := old.generation + 1;
    SELECT * INTO family FROM annul_family f WHERE f.key = old.grant_key FOR NO KEY UPDATE;
    IF old.consumed THEN
        -- Only the generation before the present one, and only for so long. A clock that went back opens no window.
        found_in_grace := FOUND AND family.generation = next_generation
            AND greatest(in_now - family.rotated_at, 0) < in_grace;
        IF NOT found_in_grace THEN
            INSERT INTO annul_entry AS e
                (key, namespace, kind, at, until, due, name, reason, actor)
            SELECT old.grant_key, in_namespace, 1, in_now, greatest(n.horizon, in_now) + in_in_flight, 0, old.grant_id,
                   'refresh_token_reuse', 1
            FROM annul_namespace n WHERE n.namespace = in_namespace
            ON CONFLICT (key) DO NOTHING;
            outcome := 7;
            RETURN;
        END IF;
        IF old.expires_at <= in_now THEN outcome := 6; RETURN; END IF;
        UPDATE annul_family f SET latest_expiry = longest WHERE f.key = old.grant_key AND f.latest_expiry < longest;
        outcome := 1;
    ELSE
        IF old.expires_at <= in_now THEN outcome := 6; RETURN; END IF;
        UPDATE annul_token t SET consumed = true WHERE t.digest = in_digest;
        INSERT INTO annul_family AS f (key, generation, rotated_at, latest_expiry, due)
        VALUES (old.grant_key, next_generation, in_now, longest, longest + in_kept)
        ON CONFLICT (key) DO UPDATE SET
            latest_expiry = greatest(f.latest_expiry, excluded.latest_expiry),
            rotated_at = CASE WHEN f.generation < excluded.generation THEN excluded.rotated_at ELSE f.rotated_at END,
            generation = greatest(f.generation, excluded.generation);
        outcome := 0;
    END IF;

    -- Covered meanwhile, perhaps alone: then its successors would not be. A client's revocation of this token holds the
    -- token's row until it is committed, so it is seen here, or sees there that the token was consumed.
    SELECT e.kind INTO covered_by FROM annul_entry e
        WHERE e.key = ANY (ARRAY[in_token_key, old.grant_key, old.session_key, old.pair_key, old.subject_key,
                                 old.client_key, in_everything_key])
        AND (e.kind <= 2 OR e.at >= old.authenticated_at)
        ORDER BY e.kind LIMIT 1;
    IF FOUND THEN outcome := 5; RETURN; END IF;

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
    ON CONFLICT (digest) DO NOTHING;
    PERFORM FROM unnest(in_digests, in_kinds) AS n(digest, kind) JOIN annul_token t ON t.digest = n.digest
        WHERE t.grant_key <> old.grant_key OR t.kind <> n.kind;
    IF FOUND THEN outcome := 8; RETURN; END IF;

    -- Revoked while the rotation was under way: the successors are born dead, and the entry stays for as long as they.
    WITH held AS (
        UPDATE annul_entry e SET until = greatest(e.until, horizon)
        FROM (SELECT l.key FROM annul_entry l
              WHERE l.key = ANY (in_token_keys || ARRAY[old.grant_key, old.session_key, old.pair_key, old.subject_key,
                                                        old.client_key, in_everything_key])
              AND (l.kind <= 2 OR l.at >= old.authenticated_at)
              ORDER BY l.key FOR NO KEY UPDATE) l
        WHERE e.key = l.key RETURNING e.kind
    )
    SELECT min(h.kind) INTO covered_by FROM held h;
    IF covered_by IS NOT NULL THEN outcome := 5; END IF;
END
$$;

-- Sweeps. Each locks what is due and not locked by anybody else, and looks at it in a statement of its own, whose snapshot
-- is younger than what was locked. `reached` is where the next one of the same run may begin: what is before it was looked
-- at, and only dead index entries are left there.

CREATE FUNCTION annul_sweep_tokens(
    in_now bigint, in_from bigint, in_rows integer, in_kept_access bigint, in_kept_refresh bigint,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    digests bytea[];
    spent bytea[];
BEGIN
    SELECT coalesce(array_agg(d.digest), '{}'), coalesce(array_agg(d.digest) FILTER (WHERE d.consumed), '{}'), max(d.due)
        INTO digests, spent, reached
        FROM (SELECT t.digest, t.consumed, t.due FROM annul_token t WHERE t.due >= in_from AND t.due <= in_now
              ORDER BY t.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(digests);
    -- A consumed refresh token is remembered for as long as its family can live: it may come back.
    IF cardinality(spent) > 0 THEN
        UPDATE annul_token t
            SET due = f.latest_expiry + CASE t.kind WHEN 0 THEN in_kept_access ELSE in_kept_refresh END
            FROM annul_family f
            WHERE t.digest = ANY (spent) AND f.key = t.grant_key
            AND f.latest_expiry + CASE t.kind WHEN 0 THEN in_kept_access ELSE in_kept_refresh END > in_now;
    END IF;
    DELETE FROM annul_token t WHERE t.digest = ANY (digests) AND t.due <= in_now;
    GET DIAGNOSTICS removed = ROW_COUNT;
END
$$;

CREATE FUNCTION annul_sweep_entries(
    in_now bigint, in_from bigint, in_rows integer, in_in_flight bigint,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bytea[];
BEGIN
    SELECT coalesce(array_agg(d.key), '{}'), max(d.due) INTO keys, reached
        FROM (SELECT e.key, e.due FROM annul_entry e WHERE e.due >= in_from AND e.due <= in_now
              ORDER BY e.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(keys);
    -- Those that nobody has looked at since they were committed learn what they may cover: the horizon of now, after their
    -- commit. Where that is news, and not of the past, the readers of the feed are told again. Others may have been held
    -- meanwhile.
    UPDATE annul_entry e
        SET until = j.needed, due = j.needed,
            place = CASE WHEN j.news THEN annul_draw() ELSE e.place END
        FROM (SELECT e.key,
                     e.due = 0 AND coalesce(n.horizon, 0) + in_in_flight > greatest(e.until, in_now) AS news,
                     CASE WHEN e.due = 0
                          THEN greatest(e.until, coalesce(n.horizon, 0) + in_in_flight, in_now + in_in_flight)
                          ELSE e.until END AS needed
              FROM annul_entry e LEFT JOIN annul_namespace n ON n.namespace = e.namespace
              WHERE e.key = ANY (keys)) j
        WHERE e.key = j.key AND j.needed > in_now;
    -- Its place is the one where it was told last. Who read it at an earlier one alone has to begin again: whether they did
    -- cannot be told from where they are.
    WITH gone AS (
        DELETE FROM annul_entry e WHERE e.key = ANY (keys) AND e.due <= in_now
        RETURNING e.namespace, e.place
    ), told AS (
        INSERT INTO annul_namespace AS n (namespace, swept)
        SELECT g.namespace, max(g.place) FROM gone g GROUP BY g.namespace ORDER BY g.namespace
        ON CONFLICT (namespace) DO UPDATE SET swept = greatest(n.swept, excluded.swept)
    )
    SELECT count(*) INTO removed FROM gone;
END
$$;

CREATE FUNCTION annul_sweep_families(
    in_now bigint, in_from bigint, in_rows integer, in_kept bigint,
    OUT looked integer, OUT removed integer, OUT reached bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bytea[];
BEGIN
    SELECT coalesce(array_agg(d.key), '{}'), max(d.due) INTO keys, reached
        FROM (SELECT f.key, f.due FROM annul_family f WHERE f.due >= in_from AND f.due <= in_now
              ORDER BY f.due LIMIT in_rows FOR UPDATE SKIP LOCKED) d;
    looked := cardinality(keys);
    UPDATE annul_family f SET due = f.latest_expiry + in_kept
        WHERE f.key = ANY (keys) AND f.latest_expiry + in_kept > in_now;
    DELETE FROM annul_family f WHERE f.key = ANY (keys) AND f.due <= in_now;
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
    DELETE FROM annul_session s WHERE s.key = ANY (keys);
    GET DIAGNOSTICS removed = ROW_COUNT;
END
$$;

INSERT INTO annul_schema (version) VALUES (1);

COMMIT;
