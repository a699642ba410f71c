-- Checkpoints of the audit log, how far copies of them came, and the leaves of records that were pruned.
CREATE TABLE audit_checkpoint (
    size  INTEGER PRIMARY KEY CHECK (size > 0),
    at    INTEGER NOT NULL,
    peaks BLOB    NOT NULL,
    note  TEXT    NOT NULL
) STRICT;

CREATE TABLE audit_copy (
    name TEXT    PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_leaf (
    seq  INTEGER PRIMARY KEY,
    leaf BLOB    NOT NULL CHECK (length(leaf) = 32)
) STRICT;

CREATE TABLE audit_pruned (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    through INTEGER NOT NULL,
    hash    TEXT    NOT NULL
) STRICT;

-- A guard against mistakes, as before: only a record whose leaf is kept may go, and checkpoints stay.
DROP TRIGGER audit_is_append_only_delete;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
WHEN old.seq > COALESCE((SELECT through FROM audit_pruned WHERE id = 1), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_checkpoint_is_append_only_update BEFORE UPDATE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoints of the audit log stay'); END;
CREATE TRIGGER audit_checkpoint_is_append_only_delete BEFORE DELETE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoints of the audit log stay'); END;
