-- One run: every trial of its finished blocks, and every finding (also those of blocks that were never finished).
-- A trial row is written only in the one commit that finishes its block, so a block is finished when it has rows.
-- A verdict row of a finding is committed the moment it is found; it counts once a trial row points at it.
-- Times are whole microseconds. Version history (PRAGMA user_version): 1 first.

CREATE TABLE session (             -- one process that wrote this run: the first, and one more for each --resume
    id          INTEGER PRIMARY KEY,
    started_ms  INTEGER NOT NULL,  -- Unix time in milliseconds
    elapsed_us  INTEGER NOT NULL,  -- how long it had run, on a monotonic clock, at its last commit
    reason      TEXT               -- why it ended (as in summary.json); NULL while it runs, and for ever if it was killed
) STRICT;

CREATE TABLE command (             -- the monitor commands that trial.tallies counts
    id          INTEGER PRIMARY KEY,
    text        TEXT NOT NULL UNIQUE  -- as the hammer sends it
) STRICT;

CREATE TABLE verdict (             -- what was said of every trial that did not end well
    id          INTEGER PRIMARY KEY,
    session     INTEGER NOT NULL REFERENCES session,  -- that committed it
    number      INTEGER NOT NULL,  -- trial number in the run
    block       INTEGER NOT NULL,  -- of that trial
    cell        INTEGER NOT NULL,  -- place of the cell in the plan
    outcome     TEXT NOT NULL,     -- model.Outcome, never 'ok'
    class       TEXT,              -- model.FindingClass; NULL unless a finding
    signature   TEXT NOT NULL,     -- tells findings of a class apart; '' unless a finding
    title       TEXT NOT NULL,     -- one line for the user
    confidence  TEXT NOT NULL,     -- model.Confidence
    because     TEXT NOT NULL,     -- JSON array of sentences
    rig_reason  TEXT NOT NULL,     -- '' unless outcome is 'rig'
    evidence    TEXT               -- folder, relative to the run; NULL if none was kept
) STRICT;

CREATE TABLE trial (               -- one row for each trial of a finished block
    number       INTEGER PRIMARY KEY,  -- planned order; numbers rise with blocks
    block        INTEGER NOT NULL,     -- of that trial
    verdict      INTEGER REFERENCES verdict,  -- NULL: the trial was ok
    started_us   INTEGER NOT NULL,     -- since the run began
    duration_us  INTEGER NOT NULL,     -- from start to verdict
    boot_us      INTEGER,              -- NULL: not all vCPUs came up
    detection_us INTEGER,              -- NULL: not a finding
    duty_ppm     INTEGER,              -- the window log's duty cycle in millionths; NULL: no window log
    tallies      BLOB NOT NULL         -- command counts and reply latencies, packed as in store/rows.py
) STRICT;

PRAGMA user_version = 1;
