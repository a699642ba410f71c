-- A consent knows its client, and can end because that is not what it was: a check cannot be widened in place, so the table is
-- made anew. What older records do not know of their client stays empty.
CREATE TABLE consent_7 (
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
    -- As which it was asked about; nothing where that was not recorded: then the one that the capability has by itself.
    tier            TEXT    CHECK (tier IN ('T0', 'T1', 'T2', 'T3')),
    scope           TEXT    NOT NULL CHECK (scope IN ('once', 'session', 'until')),
    -- The sign-in with which it ends.
    sign_in         TEXT,
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
    -- From when on it holds, where that is not at once.
    not_before      INTEGER,
    expires_at      INTEGER NOT NULL,
    idle_expires_at INTEGER,
    uses_max        INTEGER CHECK (uses_max > 0),
    uses            INTEGER NOT NULL DEFAULT 0,
    last_used_at    INTEGER,
    ended_at        INTEGER,
    ended_by        TEXT CHECK (ended_by IN ('user', 'operator', 'publisher', 'sign-out', 'client', 'client-gone')),
    end_reason      TEXT,
    ended_seq       INTEGER,
    -- The build under which it was used last, where that is not the one that was shown.
    seen_at         INTEGER,
    seen_component  TEXT,
    seen_definition TEXT,
    seen_manifest   TEXT,
    seen_version    TEXT,
    refused         INTEGER NOT NULL DEFAULT 0,
    -- What was known of the client: how well, where its sign-ins lead back to (a JSON array, in order), and the digest of what
    -- was said of it. Then the same as it is since, where that is not what it was.
    client_kind     TEXT CHECK (client_kind IN ('metadata-document', 'pre-registered', 'registered')),
    client_hosts    TEXT,
    client_metadata TEXT,
    client_seen_at       INTEGER,
    client_seen_kind     TEXT CHECK (client_seen_kind IN ('metadata-document', 'pre-registered', 'registered')),
    client_seen_hosts    TEXT,
    client_seen_metadata TEXT,
    CHECK ((client_kind IS NULL) = (client_hosts IS NULL)),
    CHECK ((client_seen_at IS NULL) = (client_seen_kind IS NULL) AND (client_seen_at IS NULL) = (client_seen_hosts IS NULL)),
    CHECK ((by_iss IS NULL) = (by_sub IS NULL)),
    CHECK ((scope = 'session') = (sign_in IS NOT NULL))
) STRICT;

INSERT INTO consent_7 (id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, version, capability, tier, scope,
    sign_in, state, arguments, ticket, ui, locale, channel, by_iss, by_sub, acr, amr, auth_time, actors, policy,
    rules, supersedes, audit_seq, decided_at, not_before, expires_at, idle_expires_at, uses_max, uses, last_used_at,
    ended_at, ended_by, end_reason, ended_seq, seen_at, seen_component, seen_definition, seen_manifest, seen_version,
    refused)
SELECT id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, version, capability, tier, scope,
    sign_in, state, arguments, ticket, ui, locale, channel, by_iss, by_sub, acr, amr, auth_time, actors, policy,
    rules, supersedes, audit_seq, decided_at, not_before, expires_at, idle_expires_at, uses_max, uses, last_used_at,
    ended_at, ended_by, end_reason, ended_seq, seen_at, seen_component, seen_definition, seen_manifest, seen_version,
    refused
FROM consent;

DROP TABLE consent;
ALTER TABLE consent_7 RENAME TO consent;

CREATE UNIQUE INDEX consent_live
    ON consent (tenant, iss, sub, client_id, tool, publisher, capability, arguments)
    WHERE state IN ('active', 'denied');
CREATE INDEX consent_of_user ON consent (tenant, iss, sub, id);
-- The two looks across tenants: under a name that another publisher took nobody's consent holds, and none through a client that
-- is not what it was.
CREATE INDEX consent_of_tool ON consent (tool, publisher) WHERE state = 'active';
CREATE INDEX consent_of_client ON consent (client_id) WHERE state = 'active';
-- What the page after an answer shows.
CREATE INDEX consent_of_ticket ON consent (ticket);

-- What clients said of themselves when somebody decided, or used what was decided, to show later what changed.
CREATE TABLE client_text (
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT;

-- Since when the document of a client cannot be read. A document is public and the same for every tenant.
CREATE TABLE client_unread (
    client_id TEXT    PRIMARY KEY,
    since     INTEGER NOT NULL
) STRICT;
