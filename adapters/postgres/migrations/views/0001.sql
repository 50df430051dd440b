-- The tables of the view store, each column with its law. The views of each projection version have a table of their
-- own, which is made when it is first wanted.

CREATE TABLE {schema}.view_store(
    schema_version integer NOT NULL -- how many of these files this schema has been through
);
INSERT INTO {schema}.view_store VALUES (0);

CREATE TABLE {schema}.projections(
    projection_key integer PRIMARY KEY,  -- the views are in the table views_KEY, and committed by commit_views_KEY
    projection text COLLATE "C" NOT NULL, -- the projection's name
    version bigint NOT NULL,             -- and its version
    indexes text[] NOT NULL,             -- the names of the indexed fields, in the order of their columns
    position bigint NOT NULL,            -- the last position that is in the views; changes in their transaction only
    store_id text NOT NULL,              -- the identity of the event store that it counts in; '' before the first event
    stream text NOT NULL,                -- the stream of the event at that position, and its version there: what tells
    stream_version bigint NOT NULL,      -- a store that was restored or replaced from the one that was read
    UNIQUE (projection, version)
);
