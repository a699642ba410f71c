-- Values under encryption: format 1. No column holds a key or a value in plain text.

-- Each tenant, and how many values of it can be opened.
CREATE TABLE seal_tenant (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL UNIQUE,
    kept INTEGER NOT NULL DEFAULT 0 CHECK (kept >= 0)
) STRICT;

-- Every version of every key of a tenant. A row is never removed, so that no number comes twice; a destroyed key has no bytes.
CREATE TABLE seal_key (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL REFERENCES seal_tenant (id),
    purpose TEXT NOT NULL CHECK (purpose IN ('value', 'equality')),
    version INTEGER NOT NULL CHECK (version > 0),
    state TEXT NOT NULL CHECK (state IN ('active', 'retired', 'erased')),
    provider_key TEXT,
    wrapped BLOB,
    made_at INTEGER NOT NULL,
    retired_at INTEGER,
    destroyed_at INTEGER,
    UNIQUE (tenant, purpose, version),
    CHECK ((wrapped IS NULL) = (provider_key IS NULL) AND (wrapped IS NULL) = (destroyed_at IS NOT NULL)),
    CHECK (CASE state WHEN 'active' THEN wrapped IS NOT NULL WHEN 'erased' THEN wrapped IS NULL ELSE 1 END)
) STRICT;

CREATE UNIQUE INDEX seal_key_active ON seal_key (tenant, purpose) WHERE state = 'active';
CREATE INDEX seal_key_provider ON seal_key (provider_key) WHERE wrapped IS NOT NULL;

-- The value stands last, so that the rest can be read without it.
CREATE TABLE seal_value (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    tenant INTEGER NOT NULL REFERENCES seal_tenant (id),
    key_version INTEGER NOT NULL,
    data_key BLOB NOT NULL,
    publisher TEXT NOT NULL,
    package TEXT NOT NULL,
    field TEXT NOT NULL,
    class TEXT NOT NULL,
    equal INTEGER NOT NULL CHECK (equal IN (0, 1)),
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE INDEX seal_value_hangs ON seal_value (tenant, key_version);
CREATE INDEX seal_value_ends ON seal_value (expires_at);
