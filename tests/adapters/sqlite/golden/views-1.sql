-- Frozen: a view store as schema version 1 wrote it. Never change this file; later schemas get files of their own.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1145198199;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('schema_version', '1'), ('identity', '0b0e7a4c-0a36-4f0f-8b51-5d0a4a3a9a77');
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
CREATE TABLE "view_1_board_v1"(
    key TEXT PRIMARY KEY NOT NULL, payload BLOB NOT NULL, "by_0_origin", "by_1_at"
) WITHOUT ROWID;
CREATE INDEX "view_1_board_v1_by_0_origin" ON "view_1_board_v1"("by_0_origin", key);
CREATE INDEX "view_1_board_v1_by_1_at" ON "view_1_board_v1"("by_1_at", key);
INSERT INTO projections VALUES (1, 'board', 1, 'view_1_board_v1', '["origin","at"]', 7, 'store', 'a-1', 3);
INSERT INTO "view_1_board_v1" VALUES ('a', CAST('{"a":1}' AS BLOB), 'EWR', 1), ('b', x'7B7D', NULL, 2);
