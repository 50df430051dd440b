"""The table of one build of a projection version, and the statements on it."""

from dataclasses import dataclass

from adapters.postgres.letters import texts_of
from bus.core.projection import Index, fields_of
from bus.core.stored import Checkpoint, ViewChanges

COMMIT_FORM = 3
"""Of the procedures that this release calls: 1 knows no epoch, and 2 no letters."""

CREATE_PROJECTION = f"""
INSERT INTO {{schema}}.projections
(projection_key, projection, version, build, indexes, state, since, position, store_id, stream, stream_version,
 procedure_form, epoch)
SELECT $1::integer, $2, $3, $4, $5, $6, $7, 0, '', '', 0, {COMMIT_FORM},
       CASE count(*) + 1 WHEN $1::integer THEN 0 ELSE $1::bigint << 32 END
FROM {{schema}}.projections
"""
"""Once tables have been dropped, which shows in the keys, the epochs of each one are those of no other: who knows one
that was there before under the same name takes this one for it, and all but the epoch may be as it was."""
CLAIM = "CALL {schema}.claim_projections($1, $2, $3)"
RELEASE = "CALL {schema}.release_projections($1, $2)"
CLAIMS = """
SELECT projection_key, owner, epoch, position, store_id, stream, stream_version
FROM {schema}.projections WHERE projection_key = ANY ($1)
"""
NEXT_KEY = """
UPDATE {schema}.view_store
SET last_projection_key =
    greatest(last_projection_key, (SELECT coalesce(max(projection_key), 0) FROM {schema}.projections)) + 1
RETURNING last_projection_key
"""
"""One that no table has or had, so that nothing which is kept of the one can ever be taken for the other's."""
CHECKPOINT = "SELECT position, store_id, stream, stream_version FROM {schema}.projections WHERE projection_key = $1"

_CREATE_TABLE = """
CREATE TABLE {schema}.views_{key}(key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL{declared});
{create_indexes}
"""
_CREATE_PROCEDURE = """
CREATE PROCEDURE {schema}.commit_views_{key}(
    lease_epoch bigint,
    old_position bigint, old_store_id text, old_stream text, old_stream_version bigint,
    new_position bigint, new_store_id text, new_stream text, new_stream_version bigint,
    letters_gone text, letters_kept text, -- JSON arrays, NULL for none
    removed text[], keys text[], payloads bytea[]{parameters}, INOUT is_done boolean
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
    WHERE p.projection_key = {key} AND p.epoch = lease_epoch AND p.position = old_position AND p.store_id = old_store_id
      AND p.stream = old_stream AND p.stream_version = old_stream_version;
    is_done := FOUND;
    IF is_done AND letters_gone IS NOT NULL THEN
        is_done := {schema}.change_letters({key}, letters_gone, letters_kept);
        IF NOT is_done THEN
            ROLLBACK;
            RETURN;
        END IF;
    END IF;
    IF is_done THEN
        -- One by one, since for all together the planner might read the table from end to end.
        FOREACH gone IN ARRAY removed LOOP
            DELETE FROM {schema}.views_{key} v WHERE v.key = gone;
        END LOOP;
        INSERT INTO {schema}.views_{key} SELECT * FROM unnest(keys, payloads{arguments})
        ON CONFLICT (key) DO UPDATE SET payload = excluded.payload{updates};
    END IF;
    -- By itself, so that the row of the checkpoint is free whatever becomes of the client.
    COMMIT;
END
$$
"""


@dataclass(frozen=True)
class Table:
    """The views of one build. Its index columns are called by their place: `by_1`, `by_2`, ..."""

    key: int
    indexes: tuple[Index, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """What has a column, in order."""
        return fields_of(self.indexes)

    def create(self) -> str:
        """The statements that make the table, its indexes, each of which ends in the key, and the procedure."""
        return self._filled(_CREATE_TABLE + _CREATE_PROCEDURE)

    def renew_procedure(self) -> str:
        """The statements that replace the procedure of an earlier release, and say so."""
        return self._filled(
            f"DROP PROCEDURE {{schema}}.commit_views_{{key}};{_CREATE_PROCEDURE};"
            f"UPDATE {{schema}}.projections SET procedure_form = {COMMIT_FORM} WHERE projection_key = {{key}}"
        )

    def _filled(self, statements: str) -> str:
        columns = [f"by_{place}" for place in range(1, len(self.fields) + 1)]
        indexed = [self._columns(index) for index in self.indexes]
        return (
            statements.replace("{key}", str(self.key))
            .replace("{declared}", "".join(f", {column} bytea NOT NULL" for column in columns))
            .replace("{parameters}", "".join(f", {column} bytea[]" for column in columns))
            .replace("{arguments}", "".join(f", {column}" for column in columns))
            .replace("{updates}", "".join(f", {column} = excluded.{column}" for column in columns))
            .replace(
                "{create_indexes}",
                "\n".join(f"CREATE INDEX ON {{schema}}.views_{self.key}({columns}, key);" for columns in indexed),
            )
        )

    def load(self) -> str:
        """For each key by itself, for the reason given above."""
        return (
            "SELECT v.key, v.payload FROM unnest($1::text[]) AS wanted(key) CROSS JOIN LATERAL "
            f"(SELECT * FROM {{schema}}.views_{self.key} own WHERE own.key = wanted.key LIMIT 1) AS v"
        )

    def get(self) -> str:
        return f"SELECT payload FROM {{schema}}.views_{self.key} WHERE key = $1"

    def commit(self) -> str:
        places = ", ".join(f"${number}" for number in range(1, 15 + len(self.fields)))
        return f"CALL {{schema}}.commit_views_{self.key}({places}, NULL)"

    def _columns(self, index: Index) -> str:
        return ", ".join([self.column(field) for field in ((index,) if isinstance(index, str) else index)])

    def page(self, after: str | None) -> str:
        """Keys and payloads in the order of keys; takes the key before, unless it is the first page, and the limit."""
        later, limit = ("", "$1") if after is None else ("WHERE key > $1", "$2")
        return f"SELECT key, payload FROM {{schema}}.views_{self.key} {later} ORDER BY key LIMIT {limit}"

    def fill(self) -> str:
        """Takes a list for each column."""
        columns = ["$1::text[]", "$2::bytea[]", *[f"${3 + place}::bytea[]" for place in range(len(self.fields))]]
        return f"INSERT INTO {{schema}}.views_{self.key} SELECT * FROM unnest({', '.join(columns)})"

    def analyze(self) -> str:
        return f"ANALYZE {{schema}}.views_{self.key}"

    def drop(self) -> str:
        return f"DROP PROCEDURE {{schema}}.commit_views_{self.key}; DROP TABLE {{schema}}.views_{self.key}"

    def column(self, index: str) -> str:
        return f"by_{self.fields.index(index) + 1}"


def conditions_of(changes: ViewChanges) -> tuple[object, ...]:
    """As `commit` takes them: epoch, old checkpoint, new one, letters that go and letters that come."""
    places = (changes.epoch, *checkpoint_columns(changes.expected), *checkpoint_columns(changes.checkpoint))
    if not changes.parked and not changes.unparked:
        return (*places, None, None)
    return (*places, *texts_of(changes))


def checkpoint_columns(checkpoint: Checkpoint) -> tuple[object, ...]:
    """As the statements take them."""
    return (checkpoint.position, checkpoint.store_id, checkpoint.stream, checkpoint.version)
