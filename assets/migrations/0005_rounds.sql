-- Rounds: sign-ins for many, worked through one after another. While a round is open nothing here
-- says which of them are done: that follows from their token sets.

CREATE TABLE round (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    purpose    TEXT NOT NULL CHECK (purpose IN ('setup', 'rotate')),
    chosen_by  TEXT NOT NULL,
    reason     TEXT NOT NULL,
    started_by TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX one_open_round ON round (ended_at IS NULL) WHERE ended_at IS NULL;

-- In the order of the work. An item outlives its credential: its name is kept in words.
CREATE TABLE round_item (
    round_id      BLOB NOT NULL REFERENCES round (id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    credential_id BLOB NOT NULL,
    name          TEXT NOT NULL,
    environment   TEXT NOT NULL CHECK (environment IN ('production', 'sandbox')),
    user          TEXT NOT NULL,
    -- The token when the round began.
    signed_in_at  INTEGER,
    rotated_at    INTEGER,
    -- Why it was passed over, where it was.
    note          TEXT,
    -- How it stood, and since when, when the round ended.
    state         TEXT,
    at            INTEGER,
    PRIMARY KEY (round_id, position)
) STRICT, WITHOUT ROWID;
