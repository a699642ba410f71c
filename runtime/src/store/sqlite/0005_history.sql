-- Whether a decision was a refusal, whatever became of it since. Of those that ended before this format it is not known.
ALTER TABLE consent ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
UPDATE consent SET refused = 1 WHERE state = 'denied';

-- Questions that somebody opened who was signed in as another user. One row for each question, so that a link that is opened
-- again and again fills nothing; who it was is in the audit log and not shown to the user.
CREATE TABLE foreign_visit (
    ticket    TEXT    PRIMARY KEY,
    tenant    TEXT    NOT NULL,
    iss       TEXT    NOT NULL,
    sub       TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    tool      TEXT    NOT NULL,
    visits    INTEGER NOT NULL,
    last_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX foreign_visit_of_user ON foreign_visit (tenant, iss, sub, last_at);
CREATE INDEX foreign_visit_by_age ON foreign_visit (last_at);
