-- Rotation: when the refresh token last changed, and how long the set it replaces may live.

-- When Salesforce last gave another refresh token in a refresh; a sign-in is told by signed_in_at.
ALTER TABLE token_set ADD COLUMN rotated_at INTEGER;

-- Of a candidate: the longest drain of the set that it replaces, in seconds, as the admin asked.
ALTER TABLE token_set ADD COLUMN drain_limit INTEGER;

-- Found after every exchange: there are few, and very many sets that are none.
CREATE INDEX draining_token_set ON token_set (drain_until) WHERE role = 'draining';
