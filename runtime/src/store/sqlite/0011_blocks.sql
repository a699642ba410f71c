-- What is noted of each 64 records of the audit log, so that a search need not read them all: between which times they lie, and two
-- bytes for each word by which they can be found. It holds nothing that the records do not, and goes with them.
CREATE TABLE audit_block (
    number INTEGER PRIMARY KEY CHECK (number >= 0),
    at_min INTEGER NOT NULL,
    at_max INTEGER NOT NULL,
    hints  BLOB
) STRICT;
