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
