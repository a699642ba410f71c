-- A consent has one more state, and a check cannot be widened in place: the table is made anew. What older records do not
-- know stays empty; that their users decided them is known.
CREATE TABLE consent_4 (
    id              TEXT    PRIMARY KEY,
    tenant          TEXT    NOT NULL,
    iss             TEXT    NOT NULL,
    sub             TEXT    NOT NULL,
    client_id       TEXT    NOT NULL,
    tool            TEXT    NOT NULL,
    publisher       TEXT    NOT NULL,
    component       TEXT    NOT NULL,
    definition      TEXT    NOT NULL,
    manifest        TEXT    NOT NULL,
    version         TEXT,
    capability      TEXT    NOT NULL,
    scope           TEXT    NOT NULL CHECK (scope IN ('once', 'until')),
    state           TEXT    NOT NULL
        CHECK (state IN ('active', 'denied', 'consumed', 'revoked', 'superseded', 'suspended')),
    -- Empty when it is bound to no arguments: a unique index holds two nulls to be different.
    arguments       TEXT    NOT NULL,
    ticket          TEXT    NOT NULL,
    -- SHA-256 of the bytes of the page.
    ui              TEXT    NOT NULL,
    locale          TEXT,
    channel         TEXT    NOT NULL CHECK (channel IN ('page', 'operator')),
    -- Who decided; nobody by name where a command of the operator did.
    by_iss          TEXT,
    by_sub          TEXT,
    acr             TEXT,
    amr             TEXT    NOT NULL DEFAULT '[]',
    auth_time       INTEGER,
    -- Who acted for the user (RFC 8693), by what rules it could be asked, and what it replaced.
    actors          TEXT    NOT NULL DEFAULT '[]',
    policy          TEXT,
    rules           TEXT    NOT NULL DEFAULT '[]',
    supersedes      TEXT,
    audit_seq       INTEGER,
    decided_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    idle_expires_at INTEGER,
    uses_max        INTEGER CHECK (uses_max > 0),
    uses            INTEGER NOT NULL DEFAULT 0,
    last_used_at    INTEGER,
    ended_at        INTEGER,
    ended_by        TEXT CHECK (ended_by IN ('user', 'operator', 'publisher')),
    end_reason      TEXT,
    ended_seq       INTEGER,
    -- The build under which it was used last, where that is not the one that was shown.
    seen_at         INTEGER,
    seen_component  TEXT,
    seen_definition TEXT,
    seen_manifest   TEXT,
    seen_version    TEXT,
    CHECK ((by_iss IS NULL) = (by_sub IS NULL))
) STRICT;

INSERT INTO consent_4 (id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, capability, scope,
    state, arguments, ticket, ui, channel, by_iss, by_sub, acr, auth_time, decided_at, expires_at, idle_expires_at,
    uses_max, uses, last_used_at, ended_at)
SELECT id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, capability, scope,
    state, arguments, ticket, ui, channel, CASE channel WHEN 'page' THEN iss END, CASE channel WHEN 'page' THEN sub END,
    acr, auth_time, decided_at, expires_at, idle_expires_at, uses_max, uses, last_used_at, ended_at
FROM consent;

DROP TABLE consent;
ALTER TABLE consent_4 RENAME TO consent;

CREATE UNIQUE INDEX consent_live
    ON consent (tenant, iss, sub, client_id, tool, publisher, capability, arguments)
    WHERE state IN ('active', 'denied');
CREATE INDEX consent_of_user ON consent (tenant, iss, sub, id);
-- The one look across tenants: under a name that another publisher took, nobody's consent holds.
CREATE INDEX consent_of_tool ON consent (tool, publisher) WHERE state = 'active';

-- What tools said of themselves when somebody decided about them, to show later what changed.
CREATE TABLE definition (
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT;

-- A session is of a user in a tenant. For those that are open it is not known, so their users sign in again.
DELETE FROM browser_session;
ALTER TABLE browser_session ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE browser_session ADD COLUMN amr TEXT NOT NULL DEFAULT '[]';
DROP INDEX browser_session_of_user;
CREATE INDEX browser_session_of_user ON browser_session (tenant, iss, sub);
