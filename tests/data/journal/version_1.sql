-- The journal's tables as version 1 made them, word for word. What is made now does not matter here.
CREATE TABLE cycles (
    user TEXT NOT NULL, id INTEGER NOT NULL, post_type TEXT NOT NULL, post_content BLOB NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;
CREATE INDEX unfinished_cycles ON cycles (user, id) WHERE finished_at IS NULL;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, cycle INTEGER NOT NULL, "group" TEXT NOT NULL, session TEXT NOT NULL,
    random_id INTEGER NOT NULL, part INTEGER NOT NULL, state TEXT NOT NULL, error TEXT, reason TEXT,
    message_id INTEGER, planned_at INTEGER NOT NULL, finished_at INTEGER
);
CREATE INDEX deliveries_of_cycle ON deliveries (user, cycle);
CREATE INDEX deliveries_of_group ON deliveries (user, "group");
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, user TEXT NOT NULL, action TEXT NOT NULL,
    text TEXT NOT NULL, level TEXT NOT NULL, session TEXT, "group" TEXT
);
CREATE INDEX events_of_user ON events (user, id);
CREATE TABLE tallies (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, at INTEGER, posts INTEGER NOT NULL,
    success INTEGER NOT NULL, failures INTEGER NOT NULL, floods INTEGER NOT NULL, messages INTEGER NOT NULL,
    folded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX tallies_of_user ON tallies (user, id);
CREATE INDEX folded_tallies ON tallies (id) WHERE folded;
CREATE TABLE peers (
    session TEXT NOT NULL, target TEXT NOT NULL, peer BLOB NOT NULL, PRIMARY KEY (session, target)
) WITHOUT ROWID;
PRAGMA application_id=0x50464A31;
PRAGMA user_version=1;
