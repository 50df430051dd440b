-- Dead letters, and what people ask of projections.

CREATE TABLE {schema}.letters(
    projection_key integer NOT NULL,
    position bigint NOT NULL,            -- of an event that this key of the projection has not seen
    key text COLLATE "C" NOT NULL,
    stream text NOT NULL,
    stream_version bigint NOT NULL,
    name text NOT NULL,                  -- the event's stored name
    error text,                          -- why it failed; NULL where it waits behind another one of its key
    attempts integer NOT NULL,
    first_at bigint NOT NULL,            -- microseconds since 1970 in UTC, like the next
    last_at bigint NOT NULL,
    trace_id text,
    PRIMARY KEY (projection_key, position, key)
);
CREATE INDEX letters_by_key ON {schema}.letters(projection_key, key, position);

CREATE TABLE {schema}.requests(
    request_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order asked
    id text COLLATE "C" NOT NULL UNIQUE,
    is_open boolean NOT NULL,            -- until somebody has answered it
    request text NOT NULL                -- all of it, as JSON
);
CREATE INDEX requests_that_are_open ON {schema}.requests(request_key) WHERE is_open;

-- Part of the transaction that commits views: false where a letter to be removed is not there.
CREATE FUNCTION {schema}.change_letters(of_projection integer, gone text, kept text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    wanted integer;
    removed integer;
BEGIN
    SELECT count(*) INTO wanted FROM json_array_elements(gone::json);
    DELETE FROM {schema}.letters l
    USING json_to_recordset(gone::json) AS g(key text, position bigint)
    WHERE l.projection_key = of_projection AND l.position = g.position AND l.key = g.key;
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed <> wanted THEN
        RETURN false;
    END IF;
    INSERT INTO {schema}.letters
    SELECT of_projection, k.position, k.key, k.stream, k.stream_version, k.name, k.error, k.attempts, k.first_at,
           k.last_at, k.trace_id
    FROM json_to_recordset(kept::json)
        AS k(position bigint, key text, stream text, stream_version bigint, name text, error text, attempts integer,
             first_at bigint, last_at bigint, trace_id text)
    ON CONFLICT (projection_key, position, key) DO UPDATE
    SET error = excluded.error, attempts = excluded.attempts, last_at = excluded.last_at;
    RETURN true;
END
$$;
