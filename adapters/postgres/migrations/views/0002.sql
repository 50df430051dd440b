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
