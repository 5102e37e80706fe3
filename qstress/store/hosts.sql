-- On which of several machines a run's guests ran; of a run on one machine these tables are empty. Runs recorded before
-- hosts were told apart lack them: they are made where such a run is gone on with, and stand in, empty, where it is read.

CREATE TABLE IF NOT EXISTS host (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    kernel      TEXT NOT NULL,     -- its release
    UNIQUE (name, kernel)
) STRICT;

CREATE TABLE IF NOT EXISTS placed (  -- a finished block, written in its commit
    block       INTEGER PRIMARY KEY REFERENCES block,
    host        INTEGER NOT NULL REFERENCES host
) STRICT;

CREATE TABLE IF NOT EXISTS found_on (  -- a verdict that was committed as it came: its block may run again elsewhere
    verdict     INTEGER PRIMARY KEY REFERENCES verdict,
    host        INTEGER NOT NULL REFERENCES host
) STRICT;
