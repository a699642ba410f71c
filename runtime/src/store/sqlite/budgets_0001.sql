-- What is spent of daily budgets: format 1. A key is a digest; a day is counted from 1970-01-01 UTC.
CREATE TABLE budget (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    day INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_day ON budget (day);
