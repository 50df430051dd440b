-- Frozen: a view store as schema version 2 wrote it. Never change this file; later schemas get files of their own.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1145198199;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('schema_version', '2'), ('identity', '0b0e7a4c-0a36-4f0f-8b51-5d0a4a3a9a77');
CREATE TABLE projections(
    projection_key INTEGER PRIMARY KEY,
    projection TEXT NOT NULL,
    version INTEGER NOT NULL,
    view_table TEXT NOT NULL,
    indexes TEXT NOT NULL,
    position INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    stream_version INTEGER NOT NULL,
    UNIQUE (projection, version)
) STRICT;
CREATE TABLE letters(
    projection_key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    stream TEXT NOT NULL,
    stream_version INTEGER NOT NULL,
    name TEXT NOT NULL,
    error TEXT,
    attempts INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    trace_id TEXT,
    PRIMARY KEY (projection_key, position, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX letters_by_key ON letters(projection_key, key, position);
CREATE TABLE requests(
    request_key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    is_open INTEGER NOT NULL,
    request TEXT NOT NULL
) STRICT;
CREATE INDEX requests_that_are_open ON requests(request_key) WHERE is_open = 1;
CREATE TABLE "view_1_board_v1"(
    key TEXT PRIMARY KEY NOT NULL, payload BLOB NOT NULL, "by_0_origin", "by_1_at"
) WITHOUT ROWID;
CREATE INDEX "view_1_board_v1_by_0_origin" ON "view_1_board_v1"("by_0_origin", key);
CREATE INDEX "view_1_board_v1_by_1_at" ON "view_1_board_v1"("by_1_at", key);
INSERT INTO projections VALUES (1, 'board', 1, 'view_1_board_v1', '["origin","at"]', 7, 'store', 'a-1', 3);
INSERT INTO "view_1_board_v1" VALUES ('a', CAST('{"a":1}' AS BLOB), 'EWR', 1), ('b', x'7B7D', NULL, 2);
INSERT INTO letters VALUES
(1, 5, 'k', 'a-1', 5, 'happened', 'a bug', 5, 1357041600123456, 1357041600123461, '0af7651916cd43dd8448eb211c80319c'),
(1, 6, 'k', 'a-1', 6, 'happened', NULL, 0, 1357041600123456, 1357041600123462, NULL);
INSERT INTO requests VALUES (1, 'request-1', 1, '{"id":"request-1","projection":"board","version":1,"action":"discard","key":"k","position":1,"reason":"a typo","asked_at":"2013-01-01T12:00:00.123456Z","answered_at":null,"is_done":false,"answer":""}');
