-- Frozen: a view store as schema version 3 wrote it. Never change this file; later schemas get files of their own.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1145198199;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('schema_version', '3'), ('identity', '0b0e7a4c-0a36-4f0f-8b51-5d0a4a3a9a77'), ('last_projection_key', '3');
CREATE TABLE projections(
    projection_key INTEGER PRIMARY KEY,
    projection TEXT NOT NULL,
    version INTEGER NOT NULL,
    build INTEGER NOT NULL,
    state TEXT NOT NULL,
    since INTEGER,
    view_table TEXT NOT NULL,
    indexes TEXT NOT NULL,
    position INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    stream_version INTEGER NOT NULL,
    UNIQUE (projection, version, build)
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
CREATE TABLE standings(
    projection_key INTEGER PRIMARY KEY,
    standing TEXT NOT NULL
) STRICT;
CREATE TABLE dropped(
    view_table TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE "view_1_board_v1"(
    key TEXT PRIMARY KEY NOT NULL, payload BLOB NOT NULL, "by_0_origin", "by_1_at"
) WITHOUT ROWID;
CREATE INDEX "view_1_board_v1_by_0_origin" ON "view_1_board_v1"("by_0_origin", key);
CREATE INDEX "view_1_board_v1_by_1_at" ON "view_1_board_v1"("by_1_at", key);
CREATE TABLE "view_2_board_v1_b1"(
    key TEXT PRIMARY KEY NOT NULL, payload BLOB NOT NULL, "by_0_at"
) WITHOUT ROWID;
CREATE INDEX "view_2_board_v1_b1_by_0_at" ON "view_2_board_v1_b1"("by_0_at", key);
INSERT INTO projections VALUES
(1, 'board', 1, 0, 'answering', NULL, 'view_1_board_v1', '["origin","at"]', 7, 'store', 'a-1', 3),
(2, 'board', 1, 1, 'building', 1357041600123456, 'view_2_board_v1_b1', '["at"]', 6, 'store', 'a-1', 2);
INSERT INTO "view_1_board_v1" VALUES ('a', CAST('{"a":1}' AS BLOB), 'EWR', 1), ('b', x'7B7D', NULL, 2);
INSERT INTO "view_2_board_v1_b1" VALUES ('b', x'7B7D', 2);
INSERT INTO standings VALUES (2, '{"told_at":"2013-01-01T12:00:00.123456Z","owner":"host:1","events_per_s":0.5,"batch_events":12.25,"attempts":1,"parked_keys":3,"last_error":"ValueError: \"é\"","stopped":null}');
INSERT INTO letters VALUES
(1, 5, 'k', 'a-1', 5, 'happened', 'a bug', 5, 1357041600123456, 1357041600123461, '0af7651916cd43dd8448eb211c80319c'),
(1, 6, 'k', 'a-1', 6, 'happened', NULL, 0, 1357041600123456, 1357041600123462, NULL);
INSERT INTO requests VALUES (1, 'request-1', 1, '{"id":"request-1","projection":"board","version":1,"action":"discard","key":"k","position":1,"reason":"a typo","asked_at":"2013-01-01T12:00:00.123456Z","answered_at":null,"is_done":false,"answer":""}');
