-- Who accepted whom, and who keeps whom away. SPEC "Contacts", "Blocks".

ALTER TABLE conversations ADD COLUMN state INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2); -- 0 open, 1 pending, 2 closed
ALTER TABLE conversations ADD COLUMN replaced_by BLOB CHECK (length(replaced_by) = 16); -- cid in which a closed one goes on

-- Each side's view of two people: two rows, which change together. A row that is no contact ends by its age.
CREATE TABLE contacts (
    account  INTEGER NOT NULL REFERENCES accounts (id),
    peer     INTEGER NOT NULL REFERENCES accounts (id),
    state    INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3), -- 0 outgoing, 1 incoming, 2 accepted, 3 declined
    asked_at INTEGER NOT NULL,                         -- Unix milliseconds: when one asked the other
    at       INTEGER NOT NULL,                         -- Unix milliseconds: since when it is so
    replaced INTEGER NOT NULL DEFAULT 0,               -- of outgoing: how often its conversation was replaced
    PRIMARY KEY (account, peer),
    CHECK (account <> peer)
) STRICT, WITHOUT ROWID;
CREATE INDEX contacts_by_peer ON contacts (peer);
CREATE INDEX contacts_that_wait ON contacts (account, state, asked_at) WHERE state <> 2;

-- Who has a conversation of two has accepted each other.
INSERT INTO contacts (account, peer, state, asked_at, at)
    SELECT p.low, p.high, 2, c.created_at, c.created_at
    FROM pairs p JOIN conversations c ON c.id = p.conversation WHERE p.low < p.high
    UNION ALL
    SELECT p.high, p.low, 2, c.created_at, c.created_at
    FROM pairs p JOIN conversations c ON c.id = p.conversation WHERE p.low < p.high;

-- Whose peer has left the server reads a closed conversation on.
UPDATE conversations SET state = 2
    WHERE kind = 0 AND NOT EXISTS (SELECT 1 FROM pairs WHERE conversation = conversations.id);
UPDATE members SET until = NULL
    WHERE conversation IN (SELECT id FROM conversations WHERE state = 2);

-- Whose messages an account is not brought. By key, so that it also holds for who comes back.
CREATE TABLE blocks (
    id          INTEGER PRIMARY KEY,
    account     INTEGER NOT NULL REFERENCES accounts (id),
    primary_key BLOB    NOT NULL CHECK (length(primary_key) = 32),
    is_blocked  INTEGER NOT NULL CHECK (is_blocked IN (0, 1)),
    version     INTEGER NOT NULL CHECK (version > 0),  -- one more with each change
    at          INTEGER NOT NULL,                      -- Unix milliseconds, of the last change
    UNIQUE (account, primary_key)
) STRICT;
-- What is looked up with each frame: as much work whether somebody is blocked or not.
CREATE INDEX blocks_in_force ON blocks (account, primary_key) WHERE is_blocked = 1;

-- Whom somebody that it blocks took into a group: it is brought nothing of that group.
ALTER TABLE members ADD COLUMN is_muted INTEGER NOT NULL DEFAULT 0;

-- Other kinds of events, and some that are not shown. The rules of a kind stand in the code: SQLite cannot change a CHECK.
CREATE TABLE events (
    account   INTEGER NOT NULL,                        -- accounts.id
    n         INTEGER NOT NULL,
    kind      INTEGER NOT NULL,                        -- 0 frame, 1 welcome, 2 device, 3 contact, 4 block
    subject   INTEGER NOT NULL,                        -- frames.id, welcomes.id, devices.id, conversations.id, blocks.id
    change    INTEGER,                                 -- of all but frames and welcomes: what happened
    at        INTEGER,                                 -- of the same: when, Unix milliseconds
    is_hidden INTEGER NOT NULL DEFAULT 0,              -- 1: by somebody who is blocked; it has its place, and is not shown
    PRIMARY KEY (account, n),
    CHECK ((kind < 2) = (change IS NULL) AND (kind < 2) = (at IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO events (account, n, kind, subject, change, at) SELECT account, n, kind, subject, change, at FROM inbox;
DROP VIEW inboxes;
DROP TABLE inbox;
ALTER TABLE events RENAME TO inbox;

-- As it was.
CREATE VIEW inboxes AS
    SELECT id AS account, primary_key, left_at, inbox_dropped AS dropped,
        coalesce((SELECT max(n) FROM inbox WHERE account = accounts.id), inbox_dropped) AS head
    FROM accounts;
