-- Frozen: a view store as schema version 2 wrote it. Never change this file; later schemas get files of their own.
CREATE SCHEMA {schema};
-- The tables of the view store, each column with its law. The views of each projection version have a table of their
-- own, which is made when it is first wanted.

CREATE TABLE {schema}.view_store(
    schema_version integer NOT NULL -- how many of these files this schema has been through
);
INSERT INTO {schema}.view_store VALUES (0);

CREATE TABLE {schema}.projections(
    projection_key integer PRIMARY KEY,  -- the views are in the table views_KEY, and committed by commit_views_KEY
    projection text COLLATE "C" NOT NULL, -- the projection's name
    version bigint NOT NULL,             -- and its version
    indexes text[] NOT NULL,             -- the names of the indexed fields, in the order of their columns
    position bigint NOT NULL,            -- the last position that is in the views; changes in their transaction only
    store_id text NOT NULL,              -- the identity of the event store that it counts in; '' before the first event
    stream text NOT NULL,                -- the stream of the event at that position, and its version there: what tells
    stream_version bigint NOT NULL,      -- a store that was restored or replaced from the one that was read
    UNIQUE (projection, version)
);
-- Leases: which process commits the views of a table.

ALTER TABLE {schema}.projections
    ADD COLUMN owner text NOT NULL DEFAULT '',   -- the opening of a bus that holds the lease; '' for none
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,  -- goes up each time the lease changes hands; every commit names it
    ADD COLUMN lapses_at timestamptz NOT NULL DEFAULT '-infinity', -- until when it lasts, by the clock of the server
    ADD COLUMN commit_form integer NOT NULL DEFAULT 1; -- which form the procedure that commits its views has

-- Both commit by themselves, so that no row stays locked when the client is needed again. Rows are locked in the order
-- of their keys, and looked at again once they are.
CREATE PROCEDURE {schema}.claim_projections(wanted integer[], claimant text, seconds double precision)
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    UPDATE {schema}.projections p
    SET owner = claimant, epoch = p.epoch + (p.owner <> claimant)::integer,
        lapses_at = clock_timestamp() + seconds * interval '1 second'
    FROM (
        SELECT q.projection_key FROM {schema}.projections q
        WHERE q.projection_key = ANY (wanted) AND (q.owner = claimant OR q.lapses_at <= clock_timestamp())
        ORDER BY q.projection_key FOR UPDATE
    ) AS free
    WHERE p.projection_key = free.projection_key;
    COMMIT;
END
$$;

CREATE PROCEDURE {schema}.release_projections(wanted integer[], claimant text)
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    UPDATE {schema}.projections p
    SET owner = '', lapses_at = '-infinity'
    FROM (
        SELECT q.projection_key FROM {schema}.projections q
        WHERE q.projection_key = ANY (wanted) AND q.owner = claimant ORDER BY q.projection_key FOR UPDATE
    ) AS ours
    WHERE p.projection_key = ours.projection_key;
    COMMIT;
END
$$;

CREATE TABLE {schema}.views_1(key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL, by_1 bytea NOT NULL, by_2 bytea NOT NULL);
CREATE INDEX ON {schema}.views_1(by_1, key);
CREATE INDEX ON {schema}.views_1(by_2, key);

CREATE PROCEDURE {schema}.commit_views_1(
    lease_epoch bigint,
    old_position bigint, old_store_id text, old_stream text, old_stream_version bigint,
    new_position bigint, new_store_id text, new_stream text, new_stream_version bigint,
    removed text[], keys text[], payloads bytea[], by_1 bytea[], by_2 bytea[], INOUT is_done boolean
) LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    -- Who changed the checkpoint meanwhile, and has not committed yet, is waited for, and then seen.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    UPDATE {schema}.projections p
    SET position = new_position, store_id = new_store_id, stream = new_stream, stream_version = new_stream_version
    WHERE p.projection_key = 1 AND p.epoch = lease_epoch AND p.position = old_position AND p.store_id = old_store_id
      AND p.stream = old_stream AND p.stream_version = old_stream_version;
    is_done := FOUND;
    IF is_done THEN
        -- One by one, since for all together the planner might read the table from end to end.
        FOREACH gone IN ARRAY removed LOOP
            DELETE FROM {schema}.views_1 v WHERE v.key = gone;
        END LOOP;
        INSERT INTO {schema}.views_1 SELECT * FROM unnest(keys, payloads, by_1, by_2)
        ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, by_1 = excluded.by_1, by_2 = excluded.by_2;
    END IF;
    -- By itself, so that the row of the checkpoint is free whatever becomes of the client.
    COMMIT;
END
$$
;

CREATE TABLE {schema}.views_2(key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL, by_1 bytea NOT NULL);
CREATE INDEX ON {schema}.views_2(by_1, key);

CREATE PROCEDURE {schema}.commit_views_2(
    lease_epoch bigint,
    old_position bigint, old_store_id text, old_stream text, old_stream_version bigint,
    new_position bigint, new_store_id text, new_stream text, new_stream_version bigint,
    removed text[], keys text[], payloads bytea[], by_1 bytea[], INOUT is_done boolean
) LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    -- Who changed the checkpoint meanwhile, and has not committed yet, is waited for, and then seen.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    UPDATE {schema}.projections p
    SET position = new_position, store_id = new_store_id, stream = new_stream, stream_version = new_stream_version
    WHERE p.projection_key = 2 AND p.epoch = lease_epoch AND p.position = old_position AND p.store_id = old_store_id
      AND p.stream = old_stream AND p.stream_version = old_stream_version;
    is_done := FOUND;
    IF is_done THEN
        -- One by one, since for all together the planner might read the table from end to end.
        FOREACH gone IN ARRAY removed LOOP
            DELETE FROM {schema}.views_2 v WHERE v.key = gone;
        END LOOP;
        INSERT INTO {schema}.views_2 SELECT * FROM unnest(keys, payloads, by_1)
        ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, by_1 = excluded.by_1;
    END IF;
    -- By itself, so that the row of the checkpoint is free whatever becomes of the client.
    COMMIT;
END
$$
;

CREATE TABLE {schema}.views_3(key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL);


CREATE PROCEDURE {schema}.commit_views_3(
    lease_epoch bigint,
    old_position bigint, old_store_id text, old_stream text, old_stream_version bigint,
    new_position bigint, new_store_id text, new_stream text, new_stream_version bigint,
    removed text[], keys text[], payloads bytea[], INOUT is_done boolean
) LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    -- Who changed the checkpoint meanwhile, and has not committed yet, is waited for, and then seen.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    UPDATE {schema}.projections p
    SET position = new_position, store_id = new_store_id, stream = new_stream, stream_version = new_stream_version
    WHERE p.projection_key = 3 AND p.epoch = lease_epoch AND p.position = old_position AND p.store_id = old_store_id
      AND p.stream = old_stream AND p.stream_version = old_stream_version;
    is_done := FOUND;
    IF is_done THEN
        -- One by one, since for all together the planner might read the table from end to end.
        FOREACH gone IN ARRAY removed LOOP
            DELETE FROM {schema}.views_3 v WHERE v.key = gone;
        END LOOP;
        INSERT INTO {schema}.views_3 SELECT * FROM unnest(keys, payloads)
        ON CONFLICT (key) DO UPDATE SET payload = excluded.payload;
    END IF;
    -- By itself, so that the row of the checkpoint is free whatever becomes of the client.
    COMMIT;
END
$$
;

UPDATE {schema}.view_store SET schema_version = 2;
INSERT INTO {schema}.projections VALUES (1, 'board', 1, ARRAY['origin', 'at']::text[], 7, '7f0c2a52-6f2c-4d1e-9d53-0d5f4b1f6a10', 'flight-1', 4, '', 0, '-infinity', 2);
INSERT INTO {schema}.projections VALUES (2, 'board', 2, ARRAY['at']::text[], 0, '', '', 0, '', 0, '-infinity', 2);
INSERT INTO {schema}.projections VALUES (3, 'plain', 1, ARRAY[]::text[], 7, '7f0c2a52-6f2c-4d1e-9d53-0d5f4b1f6a10', 'flight-1', 4, '', 0, '-infinity', 2);
INSERT INTO {schema}.views_1 VALUES ('a', '\x7b2261223a317d', '\x02455752', '\x01bff00000000000008000');
INSERT INTO {schema}.views_1 VALUES ('b', '\x7b7d', '\x00', '\x01bff80000000000008000');
INSERT INTO {schema}.views_1 VALUES ('d', '\x31', '\x02455752', '\x01c3e00000000000007fff');
INSERT INTO {schema}.views_1 VALUES ('e', '\x32', '\x02455752', '\x00');
INSERT INTO {schema}.views_1 VALUES (E'na\U000000efve-\U000065e5\U0000672c', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '\x02', '\x013c1fffffffffffff8000');
INSERT INTO {schema}.views_3 VALUES ('k', '\x31');
