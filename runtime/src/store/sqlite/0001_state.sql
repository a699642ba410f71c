CREATE TABLE audit_head (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    log_id TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    hash   TEXT    NOT NULL
) STRICT;

CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    hash   TEXT NOT NULL,
    record TEXT NOT NULL
) STRICT;

-- A guard against mistakes, not against whoever owns the file: that is what the chain is for.
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TABLE ticket (
    id_hash    TEXT    PRIMARY KEY,
    nonce      BLOB    NOT NULL UNIQUE,
    tenant     TEXT    NOT NULL,
    iss        TEXT    NOT NULL,
    sub        TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    tool       TEXT    NOT NULL,
    publisher  TEXT    NOT NULL,
    component  TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    manifest   TEXT    NOT NULL,
    question   TEXT    NOT NULL,
    arguments  TEXT    NOT NULL,
    shown      TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('open', 'allowed', 'denied', 'expired')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER
) STRICT;

CREATE UNIQUE INDEX ticket_open ON ticket (tenant, question) WHERE state = 'open';
CREATE INDEX ticket_of_user ON ticket (tenant, iss, sub, state);
CREATE INDEX ticket_by_expiry ON ticket (expires_at);

CREATE TABLE consent (
    id         TEXT    PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    iss        TEXT    NOT NULL,
    sub        TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    tool       TEXT    NOT NULL,
    publisher  TEXT    NOT NULL,
    component  TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    manifest   TEXT    NOT NULL,
    capability TEXT    NOT NULL,
    scope      TEXT    NOT NULL CHECK (scope IN ('once', 'until')),
    state      TEXT    NOT NULL CHECK (state IN ('active', 'denied', 'consumed', 'revoked', 'superseded')),
    -- Empty when it is bound to no arguments: a unique index holds two nulls to be different.
    arguments  TEXT    NOT NULL,
    ticket     TEXT    NOT NULL,
    ui         TEXT    NOT NULL,
    acr        TEXT,
    auth_time  INTEGER,
    decided_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX consent_live
    ON consent (tenant, iss, sub, client_id, tool, publisher, capability, arguments)
    WHERE state IN ('active', 'denied');
CREATE INDEX consent_of_user ON consent (iss, sub, id);

CREATE TABLE sign_in_flow (
    state_hash TEXT    PRIMARY KEY,
    data       TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_flow_by_expiry ON sign_in_flow (expires_at);

CREATE TABLE browser_session (
    id_hash    TEXT    PRIMARY KEY,
    iss        TEXT    NOT NULL,
    sub        TEXT    NOT NULL,
    auth_time  INTEGER,
    acr        TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX browser_session_by_expiry ON browser_session (expires_at);

CREATE TABLE used_nonce (
    tenant     TEXT    NOT NULL,
    nonce      TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, nonce)
) STRICT;
CREATE INDEX used_nonce_by_expiry ON used_nonce (expires_at);

-- The server's own secrets stand under the empty tenant, which no tenant can be called.
CREATE TABLE secret (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
