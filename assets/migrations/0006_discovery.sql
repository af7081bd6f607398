-- Sign-ins that tell the IDs of a credential that is not saved yet (src/engine/discover.rs).

CREATE TABLE discovery (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    environment TEXT NOT NULL CHECK (environment IN ('production', 'sandbox')),
    login_url   TEXT NOT NULL,
    app         TEXT NOT NULL,
    tags        TEXT NOT NULL,
    flow        TEXT NOT NULL,
    -- waiting: for the person; sent: the code may have been spent; lost: it was, and its answer never
    -- came; found: a token set is here and waits for a yes.
    stage       TEXT NOT NULL CHECK (stage IN ('waiting', 'sent', 'lost', 'found')),
    started_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    -- Of one that is found: the debt that revokes its token set unless somebody says yes.
    owed_id     BLOB,
    -- What the end of the sign-in needs; of one that is found, its token set.
    sealed      BLOB NOT NULL,
    UNIQUE (name_folded, environment)
) STRICT;

-- Not tried before; none is tried at once.
ALTER TABLE revocation_owed ADD COLUMN due_at INTEGER;
