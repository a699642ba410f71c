-- Before which record of the audit log every intent has its outcome. A server that starts looks from there on for calls that the
-- one before it left without one.
CREATE TABLE audit_open (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    before INTEGER NOT NULL
) STRICT;
