-- Hand-outs go into the audit chain (src/store/hand_out.rs): this table has those that are not in
-- it yet. `hash` covers a row until then, with the
-- chain's row `anchor`; what an older version counted has none.
CREATE TABLE open_hand_out (
    credential_id BLOB NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
    minute        INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    who           TEXT NOT NULL,
    since         INTEGER NOT NULL,
    count         INTEGER NOT NULL,
    anchor        INTEGER NOT NULL,
    hash          BLOB CHECK (length(hash) = 32),
    PRIMARY KEY (credential_id, minute, generation, who)
) STRICT, WITHOUT ROWID;
INSERT INTO open_hand_out
     SELECT credential_id, minute, generation,
            json_object('uid', uid, 'tty', nullif(terminal, ''), 'parent', nullif(program, '')),
            minute * 60000, count, 0, NULL
       FROM hand_out;
DROP TABLE hand_out;
ALTER TABLE open_hand_out RENAME TO hand_out;

-- The end of the last minute in which it was handed out, as far as the chain has it.
ALTER TABLE token_set ADD COLUMN handed_out INTEGER;

CREATE INDEX audit_by_subject ON audit (subject, sequence);
CREATE INDEX audit_segments ON audit (sequence) WHERE event = 'segment_sealed';
