-- Restored backups and copied stores are noticed (src/domain/copy.rs, src/domain/spent.rs).

-- The question that is open for the whole store: since when, and why.
ALTER TABLE meta ADD COLUMN copied_since INTEGER;
ALTER TABLE meta ADD COLUMN copied_sign TEXT;

-- Set when another copy goes on: this one refreshes and signs in no more.
ALTER TABLE meta ADD COLUMN moved_at INTEGER;
ALTER TABLE meta ADD COLUMN moved_to TEXT;

-- Refreshes ever begun, committed with the intent; the journal of spent tokens has the same number.
ALTER TABLE credential ADD COLUMN refreshes INTEGER NOT NULL DEFAULT 0;
