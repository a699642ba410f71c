-- How many calls a consent is good for where that is bounded, how many it was used for, and when last.
ALTER TABLE consent ADD COLUMN uses_max INTEGER CHECK (uses_max > 0);
ALTER TABLE consent ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consent ADD COLUMN last_used_at INTEGER;
-- From when on it has lapsed for want of use; nothing for what does not lapse. Each use moves it on.
ALTER TABLE consent ADD COLUMN idle_expires_at INTEGER;
-- Who agreed: the user on our page, or the operator by a command.
ALTER TABLE consent ADD COLUMN channel TEXT NOT NULL DEFAULT 'page' CHECK (channel IN ('page', 'operator'));
