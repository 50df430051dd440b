-- Frozen: an event store as schema version 2 wrote it. Never change this file; later schemas get files of their own.
CREATE SCHEMA {schema};
-- The tables of the event store, each column with its law, and the procedures that append to them.

CREATE TABLE {schema}.event_store(
    schema_version integer NOT NULL, -- how many of these files this schema has been through
    identity text NOT NULL           -- a UUID made with the store, which copies share
);
INSERT INTO {schema}.event_store VALUES (0, '7f0c2a52-6f2c-4d1e-9d53-0d5f4b1f6a10');

CREATE TABLE {schema}.events(
    position bigint PRIMARY KEY,          -- 1, 2, 3, ... over the whole store, in commit order, without gap
    stream text COLLATE "C" NOT NULL,     -- category, '-', the aggregate's id; an event never changes or leaves it
    version bigint NOT NULL,              -- 1, 2, 3, ... within the stream, without gap
    name text NOT NULL,                   -- the stored name of the event's type
    payload bytea NOT NULL,               -- the encoded event, as the bus gave it
    recorded_at bigint NOT NULL,          -- microseconds since 1970 in UTC, by the clock of the writer; may go back
    command_id text COLLATE "C" NOT NULL, -- the command that recorded it; all of a command's events follow each other
    command_ordinal integer NOT NULL,     -- 0 for the first event of its command, then 1, 2, 3, ...
    fingerprint bytea NOT NULL,           -- a digest of the command, to tell a repeated one from a reused id
    correlation_id text,                  -- the conversation; NULL where it is the command's own id
    causation_id text,                    -- what directly caused the command; NULL for nothing known
    traceparent text,                     -- the W3C trace context of the sender; NULL for none
    CONSTRAINT events_by_stream UNIQUE (stream, version), -- two writers that decided on one version: one is recorded
    CONSTRAINT events_by_command UNIQUE (command_id, command_ordinal) -- a command is recorded once
);

-- Every stored name that any event has.
CREATE TABLE {schema}.names(
    name text COLLATE "C" PRIMARY KEY,
    category text NOT NULL -- of the stream of the first such event
);

-- Copies, with which nothing is lost.
CREATE TABLE {schema}.snapshots(
    stream text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL, -- of the last event that is in the state
    format text NOT NULL,    -- what the state must look like to whoever reads it
    payload bytea NOT NULL
);

-- Both procedures below give out positions under one lock, and commit by themselves: the lock is given back by that
-- commit, after it is visible, so that whoever takes it next, or sees its position, sees everything before it; and when
-- the client is needed again, the lock is free.
--
-- A transaction that began under another isolation level, by a setting of the role or the database, would see what was
-- committed before it waited for the lock, and not what the holder has committed since.

-- Records a batch in which everything is as expected, and returns the position before it; or returns -1, or raises,
-- and records nothing. Texts come joined by the character 31, and numbers as an array's text: the driver takes several
-- times as long for arrays.
CREATE PROCEDURE {schema}.append_all(
    streams text, versions text, names text, payloads bytea[], moment bigint,
    command_ids text, command_ordinals integer[], fingerprints bytea[],
    correlation_ids text[], causation_ids text[], traceparents text[], -- like the ordinals, NULL where all are the usual
    anchor_position bigint, anchor_command_id text, -- an event that must be in its place, NULL for none
    there_streams text[], there_versions bigint[], -- events that must be there
    free_streams text[], free_versions bigint[],   -- versions that must not
    free_command_ids text[],                       -- commands that must not have recorded anything
    new_names text[], new_categories text[],       -- stored names that the client does not know to be listed
    INOUT position_before bigint
) LANGUAGE plpgsql AS $$
DECLARE
    head_command_id text;
    is_unexpected boolean := false;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    PERFORM pg_advisory_xact_lock(1145194870, '{schema}.events'::regclass::oid::integer);
    SELECT e.position, e.command_id INTO position_before, head_command_id
    FROM {schema}.events e ORDER BY e.position DESC LIMIT 1;
    position_before := coalesce(position_before, 0);
    -- As a rule the anchor is the head, and the rest is NULL. Each is looked up by itself, for a join might read the
    -- table from end to end.
    IF anchor_position <> position_before OR anchor_command_id <> head_command_id THEN
        is_unexpected := anchor_command_id IS DISTINCT FROM (
            SELECT e.command_id FROM {schema}.events e WHERE e.position = anchor_position
        );
    END IF;
    IF there_streams IS NOT NULL THEN
        is_unexpected := is_unexpected OR EXISTS (
            SELECT FROM unnest(there_streams, there_versions) AS wanted(stream, version)
            WHERE (SELECT e.version FROM {schema}.events e
                   WHERE e.stream = wanted.stream AND e.version = wanted.version) IS NULL
        );
    END IF;
    IF free_streams IS NOT NULL THEN
        is_unexpected := is_unexpected OR EXISTS (
            SELECT FROM unnest(free_streams, free_versions) AS wanted(stream, version)
            WHERE (SELECT e.version FROM {schema}.events e
                   WHERE e.stream = wanted.stream AND e.version = wanted.version) IS NOT NULL
        );
    END IF;
    IF free_command_ids IS NOT NULL THEN
        is_unexpected := is_unexpected OR EXISTS (
            SELECT FROM unnest(free_command_ids) AS wanted(command_id)
            WHERE (SELECT e.command_ordinal FROM {schema}.events e
                   WHERE e.command_id = wanted.command_id AND e.command_ordinal = 0) IS NOT NULL
        );
    END IF;
    IF is_unexpected THEN
        position_before := -1;
        COMMIT;
        RETURN;
    END IF;
    INSERT INTO {schema}.events
    SELECT position_before + r.place, r.stream, r.version, r.name, r.payload, moment, r.command_id,
           coalesce(r.command_ordinal, 0), r.fingerprint, r.correlation_id, r.causation_id, r.traceparent
    FROM unnest(string_to_array(streams, chr(31)), versions::bigint[], string_to_array(names, chr(31)), payloads,
                string_to_array(command_ids, chr(31)), command_ordinals, fingerprints,
                correlation_ids, causation_ids, traceparents) WITH ORDINALITY
        AS r(stream, version, name, payload, command_id, command_ordinal, fingerprint,
             correlation_id, causation_id, traceparent, place);
    IF new_names IS NOT NULL THEN
        INSERT INTO {schema}.names SELECT * FROM unnest(new_names, new_categories) ON CONFLICT (name) DO NOTHING;
    END IF;
    COMMIT;
END
$$;

-- Goes through a batch entry by entry, records what can be recorded and tells why the rest cannot. `sizes` are numbers
-- of events, -1 for an entry that the client refuses; names and payloads of all entries follow each other. `refusals`
-- has NULL for what is recorded, 'recorded', 'stale VERSION' or 'unstorable WHY'.
CREATE PROCEDURE {schema}.append_each(
    streams text[], expected_versions bigint[], sizes integer[], names text[], payloads bytea[], moment bigint,
    command_ids text[], fingerprints bytea[], correlation_ids text[], causation_ids text[], traceparents text[],
    INOUT position_before bigint, INOUT refusals text[]
) LANGUAGE plpgsql AS $$
DECLARE
    broken text[] := '{}'; -- streams with a refused entry
    head bigint;
    actual bigint;
    first integer := 1;    -- the place of the entry's first event in names and payloads
    refusal text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    PERFORM pg_advisory_xact_lock(1145194870, '{schema}.events'::regclass::oid::integer);
    SELECT coalesce(max(e.position), 0) INTO position_before FROM {schema}.events e;
    head := position_before;
    refusals := array_fill(NULL::text, ARRAY[cardinality(streams)]);
    FOR i IN 1 .. cardinality(streams) LOOP
        refusal := NULL;
        IF sizes[i] < 0 THEN
            refusal := 'unstorable';
        ELSIF EXISTS (SELECT FROM {schema}.events e WHERE e.command_id = command_ids[i] AND e.command_ordinal = 0) THEN
            refusal := 'recorded';
        ELSE
            SELECT coalesce(max(e.version), 0) INTO actual FROM {schema}.events e WHERE e.stream = streams[i];
            IF actual <> expected_versions[i] OR streams[i] = ANY (broken) THEN
                refusal := 'stale ' || actual;
            ELSIF sizes[i] > 0 THEN
                BEGIN
                    INSERT INTO {schema}.events
                    SELECT head + 1 + n, streams[i], actual + 1 + n, names[first + n], payloads[first + n], moment,
                           command_ids[i], n, fingerprints[i], correlation_ids[i], causation_ids[i], traceparents[i]
                    FROM generate_series(0, sizes[i] - 1) AS n;
                    INSERT INTO {schema}.names
                    SELECT names[first + n], split_part(streams[i], '-', 1) FROM generate_series(0, sizes[i] - 1) AS n
                    ON CONFLICT (name) DO NOTHING;
                    head := head + sizes[i];
                EXCEPTION
                    -- No uniqueness is violated any more; what is left are values that no column or index takes.
                    WHEN data_exception OR program_limit_exceeded OR not_null_violation THEN
                        refusal := 'unstorable ' || SQLERRM;
                END;
            END IF;
        END IF;
        IF refusal IS NOT NULL THEN
            refusals[i] := refusal;
            broken := broken || streams[i];
        END IF;
        first := first + greatest(sizes[i], 0);
    END LOOP;
    COMMIT;
END
$$;
-- A procedure that appends the common batch for less than `append_all` takes, which stays for those who use it already.

-- Records a batch in which everything is as expected, and returns the position before it; or returns -1, or raises,
-- and records nothing. As little as possible happens while the lock is held: what comes in one piece is taken apart
-- before. Arrays come as their text, texts joined by the character 31, and bytes one after another, since the driver
-- takes several times as long for arrays. All that a batch seldom has is in one parameter, since each has its price.
CREATE PROCEDURE {schema}.append_batch(
    places text,                 -- 1, 2, 3, ..., as many as there are events
    streams text, versions text, names text,
    payloads bytea, bounds text, -- where each payload begins, from 1, and where another one would
    moment bigint, command_ids text,
    fingerprints bytea,          -- all of one length, else NULL and in the rest
    anchor_position bigint, anchor_command_id text, -- an event that must be in its place, NULL for none
    rest json,                   -- NULL where there is nothing of it
    INOUT position_before bigint
) LANGUAGE plpgsql AS $$
DECLARE
    of_places integer[] := places;
    of_streams text[] := string_to_array(streams, chr(31));
    of_versions bigint[] := versions;
    of_names text[] := string_to_array(names, chr(31));
    of_command_ids text[] := string_to_array(command_ids, chr(31));
    size integer := cardinality(of_places);
    of_bounds integer[] := bounds;
    width integer := length(fingerprints) / greatest(size, 1);
    anchored_command_id text;
    more record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    IF rest IS NOT NULL THEN
        SELECT * INTO more FROM json_to_record(rest) AS r(
            fingerprints text[], -- in hexadecimal digits
            command_ordinals integer[], correlation_ids text[], causation_ids text[], traceparents text[],
            there_streams text[], there_versions bigint[], -- events that must be there
            free_streams text[], free_versions bigint[],   -- versions that must not
            free_command_ids text[],                       -- commands that must not have recorded anything
            new_names text[], new_categories text[]        -- stored names that the client does not know to be listed
        );
    END IF;
    -- No query of its own, which PERFORM would be.
    IF pg_advisory_xact_lock(1145194870, '{schema}.events'::regclass::oid::integer) IS NULL THEN
    END IF;
    IF anchor_position IS NULL THEN
        -- Not below, where a plan for NULL is so cheap that each call would be planned anew.
        SELECT max(e.position) INTO position_before FROM {schema}.events e;
    ELSE
        SELECT e.position, CASE e.position WHEN anchor_position THEN e.command_id ELSE (
            SELECT a.command_id FROM {schema}.events a WHERE a.position = anchor_position
        ) END INTO position_before, anchored_command_id FROM {schema}.events e ORDER BY e.position DESC LIMIT 1;
    END IF;
    position_before := coalesce(position_before, 0);
    IF anchored_command_id IS DISTINCT FROM anchor_command_id THEN
        position_before := -1;
    -- Columns in step with each other: functions in FROM would each fill a table of their own first.
    ELSIF rest IS NULL THEN
        INSERT INTO {schema}.events
        SELECT position_before + r.place, r.stream, r.version, r.name, substring(payloads, r.start, r.stop - r.start),
               moment, r.command_id, 0, substring(fingerprints, r.place * width - width + 1, width), NULL, NULL, NULL
        FROM (SELECT unnest(of_places) AS place, unnest(of_streams) AS stream, unnest(of_versions) AS version,
                     unnest(of_names) AS name, unnest(of_bounds[1:size]) AS start,
                     unnest(of_bounds[2:size + 1]) AS stop, unnest(of_command_ids) AS command_id) AS r;
    -- Each is looked up by itself, for a join might read the table from end to end.
    ELSIF EXISTS (
        SELECT FROM unnest(more.there_streams, more.there_versions) AS wanted(stream, version)
        WHERE (SELECT e.version FROM {schema}.events e
               WHERE e.stream = wanted.stream AND e.version = wanted.version) IS NULL
    ) OR EXISTS (
        SELECT FROM unnest(more.free_streams, more.free_versions) AS wanted(stream, version)
        WHERE (SELECT e.version FROM {schema}.events e
               WHERE e.stream = wanted.stream AND e.version = wanted.version) IS NOT NULL
    ) OR EXISTS (
        SELECT FROM unnest(more.free_command_ids) AS wanted(command_id)
        WHERE (SELECT e.command_ordinal FROM {schema}.events e
               WHERE e.command_id = wanted.command_id AND e.command_ordinal = 0) IS NOT NULL
    ) THEN
        position_before := -1;
    ELSE
        INSERT INTO {schema}.events
        SELECT position_before + r.place, r.stream, r.version, r.name, substring(payloads, r.start, r.stop - r.start),
               moment, r.command_id, coalesce(r.command_ordinal, 0),
               coalesce(decode(r.fingerprint, 'hex'), substring(fingerprints, r.place * width - width + 1, width)),
               r.correlation_id, r.causation_id, r.traceparent
        FROM (SELECT unnest(of_places) AS place, unnest(of_streams) AS stream, unnest(of_versions) AS version,
                     unnest(of_names) AS name, unnest(of_bounds[1:size]) AS start,
                     unnest(of_bounds[2:size + 1]) AS stop, unnest(of_command_ids) AS command_id,
                     unnest(more.fingerprints) AS fingerprint, unnest(more.command_ordinals) AS command_ordinal,
                     unnest(more.correlation_ids) AS correlation_id,
                     unnest(more.causation_ids) AS causation_id, unnest(more.traceparents) AS traceparent) AS r;
        INSERT INTO {schema}.names SELECT * FROM unnest(more.new_names, more.new_categories)
        ON CONFLICT (name) DO NOTHING;
    END IF;
    COMMIT;
END
$$;

UPDATE {schema}.event_store SET schema_version = 2;
INSERT INTO {schema}.events VALUES (1, 'flight-1', 1, 'flight-scheduled', '\x7b2261223a317d', 1357041600123456, 'c1', 0, '\x0102', 'talk', 'why', '00-1-2-01');
INSERT INTO {schema}.events VALUES (2, 'flight-1', 2, 'flight-departed@2', '\x7b7d', 1357041600123456, 'c1', 1, '\x0102', 'talk', 'why', '00-1-2-01');
INSERT INTO {schema}.events VALUES (3, 'flight-1', 3, 'gone', '\x', 1357041600123456, 'c1', 2, '\x0102', 'talk', 'why', '00-1-2-01');
INSERT INTO {schema}.events VALUES (4, 'flight-2', 1, 'flight-scheduled', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 1357041600123456, 'c2', 0, '\x', NULL, NULL, NULL);
INSERT INTO {schema}.events VALUES (5, 'flight-1', 4, 'gone', '\x6e756c6c', 1357041600123456, 'c3', 0, '\x00', NULL, 'c1', NULL);
INSERT INTO {schema}.events VALUES (6, E'account-na\U000000efve-\U000065e5\U0000672c-\U0001f600', 1, 'deposited', '\x7b7d', -1, E'x''; DROP "a\U0000005cb"', 0, '\xff', 'e', NULL, NULL);
INSERT INTO {schema}.events VALUES (7, E'account-a\U0000001fb', 1, E'line\U0000000abreak', '\x7b7d', -1, E'c\U0000001f4', 0, '\x70', NULL, NULL, NULL);
INSERT INTO {schema}.events VALUES (8, E'account-a\U0000001fb', 2, 'deposited', '\x7b7d', -1, E'c\U0000001f4', 1, '\x70', NULL, NULL, NULL);
INSERT INTO {schema}.names VALUES ('deposited', 'account');
INSERT INTO {schema}.names VALUES ('flight-departed@2', 'flight');
INSERT INTO {schema}.names VALUES ('flight-scheduled', 'flight');
INSERT INTO {schema}.names VALUES ('gone', 'flight');
INSERT INTO {schema}.names VALUES (E'line\U0000000abreak', 'account');
INSERT INTO {schema}.snapshots VALUES ('flight-1', 3, '1:2a', '\x7b22737461747573223a22676f6e65227d');
INSERT INTO {schema}.snapshots VALUES ('flight-2', 1, '2:0f', '\x00ff');
