-- The tables of the event store, each column with its law, and the procedures that append to them.

CREATE TABLE {schema}.event_store(
    schema_version integer NOT NULL, -- how many of these files this schema has been through
    identity text NOT NULL           -- a UUID made with the store, which copies share
);
INSERT INTO {schema}.event_store VALUES (0, {identity});

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
