-- When a session was used last. One from before this is taken for unused: its user signs in again.
ALTER TABLE browser_session ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX browser_session_of_user ON browser_session (iss, sub);
