-- The whole data model. IDs are random 128-bit values, times are Unix milliseconds in UTC.
-- A column named `sealed` holds a sealed value (see src/vault); everything else is in clear.
-- A credential's state is not stored: it is derived (src/domain/credential.rs).

CREATE TABLE meta (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id  BLOB NOT NULL CHECK (length(store_id) = 16),
    host_mark TEXT NOT NULL
) STRICT;

CREATE TABLE connection (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    in_use      TEXT NOT NULL CHECK (in_use IN ('production', 'sandbox'))
) STRICT;

CREATE TABLE credential (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    connection_id BLOB NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    environment   TEXT NOT NULL CHECK (environment IN ('production', 'sandbox')),
    org_id        TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    username      TEXT,
    login_url     TEXT NOT NULL,
    app           TEXT NOT NULL,
    tags          TEXT NOT NULL,
    held          TEXT,
    -- The newest generation ever given out; it never decreases.
    generation    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (connection_id, environment)
) STRICT;

CREATE TABLE pending_edit (
    credential_id BLOB PRIMARY KEY REFERENCES credential (id) ON DELETE CASCADE,
    org_id        TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    username      TEXT,
    login_url     TEXT NOT NULL,
    app           TEXT NOT NULL
) STRICT;

CREATE TABLE token_set (
    id                 BLOB PRIMARY KEY CHECK (length(id) = 16),
    credential_id      BLOB NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
    generation         INTEGER NOT NULL,
    role               TEXT NOT NULL CHECK (role IN ('active', 'candidate', 'draining', 'orphan')),
    issued_at          INTEGER NOT NULL,
    expires_at         INTEGER,
    expiry             TEXT NOT NULL CHECK (expiry IN ('known', 'assumed')),
    instance_url       TEXT NOT NULL,
    scopes             TEXT NOT NULL,
    flow               TEXT NOT NULL,
    refreshable        INTEGER NOT NULL,
    signed_in_at       INTEGER NOT NULL,
    environment_proven INTEGER NOT NULL DEFAULT 0,
    refused            TEXT,
    drain_until        INTEGER,
    sealed             BLOB NOT NULL,
    UNIQUE (credential_id, generation)
) STRICT;
CREATE UNIQUE INDEX one_active_token_set ON token_set (credential_id) WHERE role = 'active';
CREATE UNIQUE INDEX one_candidate_token_set ON token_set (credential_id) WHERE role = 'candidate';

CREATE TABLE authorization (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    credential_id BLOB NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
    flow          TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    sealed        BLOB NOT NULL
) STRICT;
CREATE INDEX authorization_by_credential ON authorization (credential_id, started_at);

-- 'May have been sent': written before a grant is spent, gone with the commit of its answer.
CREATE TABLE intent (
    credential_id BLOB NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
    operation     TEXT NOT NULL CHECK (operation IN ('refresh', 'sign_in')),
    generation    INTEGER NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 1,
    spent_tag     BLOB NOT NULL,
    boot_id       TEXT NOT NULL,
    host_mark     TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    deadline      INTEGER NOT NULL,
    PRIMARY KEY (credential_id, operation)
) STRICT;

CREATE TABLE access_test (
    id            INTEGER PRIMARY KEY,
    credential_id BLOB NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
    kind          TEXT NOT NULL CHECK (kind IN ('test', 'refresh', 'sign_in')),
    at            INTEGER NOT NULL,
    outcome       TEXT NOT NULL,
    latency_ms    INTEGER NOT NULL,
    message       TEXT NOT NULL,
    remedy        TEXT NOT NULL
) STRICT;
CREATE INDEX access_test_by_credential ON access_test (credential_id, id);

-- Outlives its credential: who is owed what is kept here in words.
CREATE TABLE revocation_owed (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    name        TEXT NOT NULL,
    environment TEXT NOT NULL,
    org_id      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    login_url   TEXT NOT NULL,
    since       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT NOT NULL DEFAULT '',
    sealed      BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    event    TEXT NOT NULL,
    subject  TEXT NOT NULL,
    detail   TEXT NOT NULL,
    reason   TEXT NOT NULL,
    who      TEXT NOT NULL,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash     BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Access tokens handed out, counted per minute and program; committed before the token is shown.
CREATE TABLE hand_out (
    credential_id BLOB NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
    minute        INTEGER NOT NULL,
    uid           INTEGER NOT NULL,
    terminal      TEXT NOT NULL,
    program       TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    count         INTEGER NOT NULL,
    PRIMARY KEY (credential_id, minute, uid, terminal, program, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE app (
    name             TEXT NOT NULL,
    name_folded      TEXT PRIMARY KEY,
    client_id        TEXT NOT NULL,
    redirect_uris    TEXT NOT NULL,
    scopes           TEXT NOT NULL,
    flows            TEXT NOT NULL,
    private_key_file TEXT,
    certificate_file TEXT,
    rotation         TEXT NOT NULL,
    idle_limit       INTEGER,
    session_timeout  INTEGER,
    rotate_every     INTEGER
) STRICT;

CREATE TABLE app_secret (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    app_folded TEXT NOT NULL UNIQUE REFERENCES app (name_folded) ON DELETE CASCADE,
    sealed     BLOB NOT NULL
) STRICT;
