-- What guests keep: format 1. Whose it is: tenant, user and store; `iss` and `sub` are empty where a tenant shares it, and no
-- user has an empty issuer.

-- What each of them holds in all, and how often it was written. It stays when the last key goes: a version never comes twice.
CREATE TABLE kv_space (
    tenant TEXT NOT NULL,
    iss TEXT NOT NULL,
    sub TEXT NOT NULL,
    store TEXT NOT NULL,
    keys INTEGER NOT NULL CHECK (keys >= 0),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    version INTEGER NOT NULL,
    PRIMARY KEY (tenant, iss, sub, store)
) STRICT, WITHOUT ROWID;

-- Keys are compared byte by byte. The value stands last, so that a list of keys need not read it.
CREATE TABLE kv_entry (
    tenant TEXT NOT NULL,
    iss TEXT NOT NULL,
    sub TEXT NOT NULL,
    store TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    value BLOB NOT NULL,
    UNIQUE (tenant, iss, sub, store, key)
) STRICT;

CREATE INDEX kv_entry_ends_of ON kv_entry (tenant, iss, sub, store, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX kv_entry_ends ON kv_entry (expires_at) WHERE expires_at IS NOT NULL;
