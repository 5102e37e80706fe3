-- One run: every trial of its finished blocks, and every finding (also those of blocks that were never finished).
-- A block row is written in the one commit that finishes its block; blocks are finished in planned order, from 0 on.
-- A verdict row of a finding is committed the moment it is found; it counts once the commit of its block marks it.
-- Times are whole microseconds. Version history (PRAGMA user_version): 1 a row for each trial; 2 a row for each block.

CREATE TABLE session (             -- one process that wrote this run: the first, and one more for each --resume
    id          INTEGER PRIMARY KEY,
    started_ms  INTEGER NOT NULL,  -- Unix time in milliseconds
    elapsed_us  INTEGER NOT NULL,  -- how long it had run, on a monotonic clock, at its last commit
    reason      TEXT               -- why it ended (as in summary.json); NULL while it runs, and for ever if it was killed
) STRICT;

CREATE TABLE command (             -- the monitor commands that block.results counts
    id          INTEGER PRIMARY KEY,
    text        TEXT NOT NULL UNIQUE  -- as the hammer sends it
) STRICT;

CREATE TABLE kind (                -- verdicts that differ in nothing but their reasons
    id          INTEGER PRIMARY KEY,
    outcome     TEXT NOT NULL,     -- model.Outcome, never 'ok'
    class       TEXT NOT NULL,     -- model.FindingClass; '' for none
    signature   TEXT NOT NULL,     -- tells findings of a class apart; '' unless a finding
    title       TEXT NOT NULL,     -- one line for the user
    confidence  TEXT NOT NULL,     -- model.Confidence
    rig_reason  TEXT NOT NULL,     -- '' unless outcome is 'rig'
    UNIQUE (outcome, class, signature, title, confidence, rig_reason)  -- each of them once
) STRICT;

CREATE TABLE verdict (             -- what was said of every trial that did not end well
    id          INTEGER PRIMARY KEY,
    session     INTEGER NOT NULL REFERENCES session,  -- that committed it
    number      INTEGER NOT NULL,  -- trial number in the run
    block       INTEGER NOT NULL,  -- of that trial
    cell        INTEGER NOT NULL,  -- place of the cell in the plan
    kind        INTEGER NOT NULL REFERENCES kind,  -- what it says
    because     BLOB NOT NULL,     -- its reasons, packed as in store/words.py
    counted     INTEGER NOT NULL,  -- 1 once its block is finished
    evidence    TEXT               -- folder, relative to the run; NULL if none was kept
) STRICT;

CREATE TABLE block (               -- one row for each finished block
    number      INTEGER PRIMARY KEY,  -- planned order, from 0 on
    trials      INTEGER NOT NULL,  -- how many it has
    verdicts    INTEGER NOT NULL,  -- how many of these did not end well, so that none of their verdicts is missed
    results     BLOB NOT NULL      -- what became of each, in planned order, packed as in store/rows.py
) STRICT;

CREATE TABLE sums (                -- at most one row: what the first blocks add up to, so that nobody has to add again
    blocks      INTEGER NOT NULL,  -- how many
    code        TEXT NOT NULL,     -- which statistics added them up (sha256); others must start from the blocks
    content     BLOB NOT NULL      -- as that code keeps it
) STRICT;

PRAGMA user_version = 2;
