-- What is kept can be encrypted. Then a row has a body, the version of the key under which that is, and nothing in the columns that
-- the body holds.
-- Every version of every key at rest, of tenants and of the server, which stands as the empty tenant. A row is never removed, so that
-- no number comes twice; a destroyed key has no bytes. Names of columns are unlike any of the tables that are read with it.
CREATE TABLE rest_key (
    key_id        INTEGER PRIMARY KEY,
    key_tenant    TEXT    NOT NULL,
    key_version   INTEGER NOT NULL CHECK (key_version > 0),
    key_state     TEXT    NOT NULL CHECK (key_state IN ('active', 'retired', 'erased')),
    key_provider  TEXT,
    key_wrapped   BLOB,
    key_made_at   INTEGER NOT NULL,
    key_retired_at   INTEGER,
    key_destroyed_at INTEGER,
    UNIQUE (key_tenant, key_version),
    CHECK ((key_wrapped IS NULL) = (key_provider IS NULL) AND (key_wrapped IS NULL) = (key_destroyed_at IS NOT NULL)),
    CHECK (CASE key_state WHEN 'active' THEN key_wrapped IS NOT NULL WHEN 'erased' THEN key_wrapped IS NULL ELSE 1 END)
) STRICT;
CREATE UNIQUE INDEX rest_key_active ON rest_key (key_tenant) WHERE key_state = 'active';

-- One row from when on rows are encrypted: 0 while some may stand in the clear, 1 when none does.
CREATE TABLE rest_state (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    whole INTEGER NOT NULL CHECK (whole IN (0, 1))
) STRICT;

ALTER TABLE consent ADD COLUMN body BLOB;
ALTER TABLE consent ADD COLUMN body_key INTEGER;

ALTER TABLE ticket ADD COLUMN body BLOB;
ALTER TABLE ticket ADD COLUMN body_key INTEGER;

ALTER TABLE sign_in_flow ADD COLUMN body BLOB;
ALTER TABLE sign_in_flow ADD COLUMN body_key INTEGER;

ALTER TABLE browser_session ADD COLUMN body BLOB;
ALTER TABLE browser_session ADD COLUMN body_key INTEGER;

ALTER TABLE secret ADD COLUMN body BLOB;
ALTER TABLE secret ADD COLUMN body_key INTEGER;

-- What hangs on a key, for its replacing. Of sign-ins that were begun and of secrets there are few.
CREATE INDEX consent_hangs ON consent (tenant, body_key) WHERE body_key IS NOT NULL;
CREATE INDEX ticket_hangs ON ticket (tenant, body_key) WHERE body_key IS NOT NULL;
CREATE INDEX browser_session_hangs ON browser_session (tenant, body_key) WHERE body_key IS NOT NULL;
