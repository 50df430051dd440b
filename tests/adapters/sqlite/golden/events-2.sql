-- Frozen: an event store as schema version 2 wrote it. Never change this file; later schemas get files of their own.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1145193846;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('schema_version', '2'), ('identity', '7f0c2a52-6f2c-4d1e-9d53-0d5f4b1f6a10');
CREATE TABLE streams(stream_key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events(
    position INTEGER PRIMARY KEY,
    stream_key INTEGER NOT NULL REFERENCES streams,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    command_id TEXT NOT NULL,
    command_ordinal INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    correlation_id TEXT,
    causation_id TEXT,
    traceparent TEXT,
    UNIQUE (stream_key, version)
) STRICT;
CREATE UNIQUE INDEX events_by_command ON events(command_id) WHERE command_ordinal = 0;
CREATE TABLE names(name TEXT PRIMARY KEY, category TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE snapshots(
    stream_key INTEGER PRIMARY KEY REFERENCES streams,
    version INTEGER NOT NULL,
    format TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
INSERT INTO streams VALUES (1, 'flight-1'), (2, 'flight-2');
INSERT INTO events VALUES
    (1, 1, 1, 'flight-scheduled', CAST('{"a":1}' AS BLOB), 1357041600000000, 'c1', 0, x'0102', 'talk', 'why', '00-1'),
    (2, 1, 2, 'flight-departed', x'7B7D', 1357041600000000, 'c1', 1, x'0102', 'talk', 'why', '00-1'),
    (3, 2, 1, 'flight-scheduled', x'7B7D', 1357041600000000, 'c2', 0, x'03', NULL, NULL, NULL);
INSERT INTO names VALUES ('flight-scheduled', 'flight'), ('flight-departed', 'flight');
INSERT INTO snapshots VALUES (1, 2, '1:2a', CAST('{"status":"departed"}' AS BLOB));
