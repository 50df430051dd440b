-- Builds: the views of a projection version may be in several tables, one of which answers.

ALTER TABLE {schema}.projections
    ADD COLUMN build bigint NOT NULL DEFAULT 0,  -- goes up each time that the views of a version are built anew
    ADD COLUMN state text NOT NULL DEFAULT 'answering', -- building, answering or replaced
    ADD COLUMN since bigint,                     -- when it came into that state, in microseconds since 1970 in UTC;
                                                 -- NULL for always
    DROP CONSTRAINT projections_projection_version_key,
    ADD UNIQUE (projection, version, build);

-- A process of an earlier release asks by this column which tables there are, and takes one of another build for the
-- one it knows. Without it, it goes on with those that it has found before, and finds no others.
ALTER TABLE {schema}.projections RENAME COLUMN commit_form TO procedure_form;

ALTER TABLE {schema}.view_store
    ADD COLUMN last_projection_key integer NOT NULL DEFAULT 0; -- the last that was given; none is given twice

CREATE TABLE {schema}.standings(
    projection_key integer PRIMARY KEY,
    standing text NOT NULL               -- what was said of the table last, as JSON
);

-- Both commit by themselves, so that no row stays locked when the client is needed again. Rows are locked in the order
-- of their keys, and looked at once they are.
CREATE PROCEDURE {schema}.switch_views(
    new_projection text, new_version bigint, new_build bigint, lease_epoch bigint,
    old_projection text, old_version bigint, old_build bigint, switched_at bigint, INOUT is_done boolean
) LANGUAGE plpgsql AS $$
DECLARE
    new_one {schema}.projections%ROWTYPE;
    old_one {schema}.projections%ROWTYPE;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    PERFORM 1 FROM {schema}.projections p
    WHERE p.projection IN (new_projection, old_projection)
    ORDER BY p.projection_key FOR UPDATE;
    SELECT * INTO new_one FROM {schema}.projections p
    WHERE p.projection = new_projection AND p.version = new_version AND p.build = new_build;
    SELECT * INTO old_one FROM {schema}.projections p
    WHERE p.projection = old_projection AND p.version = old_version AND p.build = old_build;
    is_done := new_one.projection_key IS NOT NULL AND new_one.epoch = lease_epoch;
    -- Asked again by who did not hear the answer, it is as it should be.
    IF is_done AND NOT (
        new_one.state = 'answering' AND (old_one.projection_key IS NULL OR old_one.state = 'replaced')
    ) THEN
        is_done := old_one.projection_key IS NULL
            OR (old_one.state = 'answering' AND old_one.position <= new_one.position);
        is_done := is_done AND (new_one.state = 'answering' OR NOT EXISTS (
            SELECT 1 FROM {schema}.projections p
            WHERE p.projection = new_projection AND p.state = 'answering'
              AND p.projection_key IS DISTINCT FROM old_one.projection_key
        ));
        IF is_done THEN
            UPDATE {schema}.projections p SET state = 'replaced', since = switched_at
            WHERE p.projection_key = old_one.projection_key;
            UPDATE {schema}.projections p SET state = 'answering', since = switched_at
            WHERE p.projection_key = new_one.projection_key;
        END IF;
    END IF;
    COMMIT;
END
$$;

CREATE PROCEDURE {schema}.drop_views(
    schema_name text, of_projection text, of_version bigint, of_build bigint, patience text, INOUT is_done boolean
) LANGUAGE plpgsql AS $$
DECLARE
    held integer;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    -- Who waits to drop a table that is being read makes everybody wait who comes to read it later.
    PERFORM set_config('lock_timeout', patience, true);
    -- The lock under which tables are made and indexed anew.
    PERFORM pg_advisory_xact_lock(1145195881, hashtext(schema_name));
    SELECT p.projection_key INTO held FROM {schema}.projections p
    WHERE p.projection = of_projection AND p.version = of_version AND p.build = of_build FOR UPDATE;
    is_done := held IS NULL OR held IS DISTINCT FROM (
        SELECT p.projection_key FROM {schema}.projections p
        WHERE p.projection = of_projection AND p.state = 'answering' ORDER BY p.version DESC, p.build DESC LIMIT 1
    );
    IF is_done AND held IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I.%I', schema_name, 'views_' || held);
        EXECUTE format('DROP PROCEDURE %I.%I', schema_name, 'commit_views_' || held);
        DELETE FROM {schema}.letters l WHERE l.projection_key = held;
        DELETE FROM {schema}.standings s WHERE s.projection_key = held;
        DELETE FROM {schema}.projections p WHERE p.projection_key = held;
    END IF;
    COMMIT;
END
$$;
