-- Conversations: MLS groups that the server orders and cannot read. SPEC "Conversations".
-- Narrow: each frame rewrites its conversation's row, so what is large or rarely read lies elsewhere.
CREATE TABLE conversations (
    id             INTEGER PRIMARY KEY,
    cid            BLOB    NOT NULL UNIQUE CHECK (length(cid) = 16),
    kind           INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),     -- 0 direct, 1 group, 2 self
    generation     INTEGER NOT NULL,                   -- 1 for the first of a pair, then counting; 1 for a group
    epoch          INTEGER NOT NULL CHECK (epoch > 0), -- the head: frames are accepted in this epoch only
    seq            INTEGER NOT NULL CHECK (seq > 0),   -- the head: number of the last frame
    epoch_seq      INTEGER NOT NULL DEFAULT 1,         -- number of the commit that began the epoch
    oldest         INTEGER NOT NULL DEFAULT 1,         -- number of the first frame that is still here
    created_at     INTEGER NOT NULL,                   -- Unix milliseconds, by the server's clock
    creator        INTEGER NOT NULL REFERENCES accounts (id),
    request_sha256 BLOB    NOT NULL CHECK (length(request_sha256) = 32) -- of what was asked for: tells a repetition
) STRICT;
CREATE INDEX conversations_by_creator ON conversations (creator);

-- The one conversation of two accounts (`direct`, low < high) or of one with itself (`self`, low = high).
CREATE TABLE pairs (
    low          INTEGER NOT NULL REFERENCES accounts (id),
    high         INTEGER NOT NULL REFERENCES accounts (id),
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    PRIMARY KEY (low, high),
    CHECK (low <= high)
) STRICT, WITHOUT ROWID;

-- What a device needs to join by itself, for the head epoch: opaque bytes of the last bundle.
CREATE TABLE group_infos (
    conversation INTEGER PRIMARY KEY REFERENCES conversations (id),
    bytes        BLOB    NOT NULL
) STRICT;

-- Who is, or last was, in a conversation. Frames with since < seq, and seq <= until where there is one, are its to read.
CREATE TABLE members (
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    account      INTEGER NOT NULL REFERENCES accounts (id),
    since        INTEGER NOT NULL,
    until        INTEGER,                              -- NULL: is a member
    delivered    INTEGER NOT NULL DEFAULT 0,           -- every frame up to this one has reached every active device
    PRIMARY KEY (conversation, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_account ON members (account, conversation);

-- Every frame, once. `bytes` comes last: reading another column never walks through them.
CREATE TABLE frames (
    id             INTEGER PRIMARY KEY,
    conversation   INTEGER NOT NULL REFERENCES conversations (id),
    seq            INTEGER NOT NULL,
    mid            BLOB    NOT NULL CHECK (length(mid) = 16),
    kind           INTEGER NOT NULL CHECK (kind IN (1, 2)), -- as in the authenticated data: 1 app, 2 commit
    at             INTEGER NOT NULL,                   -- Unix milliseconds, by the server's clock
    sender         INTEGER NOT NULL,                   -- the account
    request_sha256 BLOB,                               -- of everything in a bundle; NULL: `bytes` is all there was
    bytes          BLOB    NOT NULL,
    UNIQUE (conversation, seq),
    UNIQUE (conversation, mid)
) STRICT;

-- Every Welcome, once. It appears with the commit that it belongs to, `seq`.
CREATE TABLE welcomes (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    seq          INTEGER NOT NULL,
    at           INTEGER NOT NULL,                     -- Unix milliseconds, that of the commit
    bytes        BLOB    NOT NULL
) STRICT;
CREATE INDEX welcomes_by_conversation ON welcomes (conversation, seq);

CREATE TABLE welcome_recipients (
    welcome   INTEGER NOT NULL REFERENCES welcomes (id) ON DELETE CASCADE,
    account   INTEGER NOT NULL REFERENCES accounts (id),
    device_id BLOB    NOT NULL CHECK (length(device_id) = 16),
    PRIMARY KEY (welcome, account, device_id)
) STRICT, WITHOUT ROWID;

-- What each account has to read: pointers in one order, numbered 1, 2, … per account. Without gaps, and dropped from the
-- front only: what is there and accounts.inbox_dropped say what the last number is.
-- BETWEEN, because SQLite makes a tree of three values in an IN anew for each row that is checked.
CREATE TABLE inbox (
    account INTEGER NOT NULL,                          -- accounts.id
    n       INTEGER NOT NULL,
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2), -- 0 frame, 1 welcome, 2 device
    subject INTEGER NOT NULL,                          -- frames.id, welcomes.id or devices.id, by kind
    change  INTEGER,                                   -- of devices: 0 enrolled, 1 renewed, 2 revoked
    at      INTEGER,                                   -- of devices: when, Unix milliseconds
    PRIMARY KEY (account, n),
    CHECK ((kind = 2) = (change IS NOT NULL) AND (kind = 2) = (at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- The time by which things were dropped for their age, noted now and then: a clock that is far ahead of it is doubted.
CREATE TABLE noted_time (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL                               -- Unix seconds
) STRICT;

-- Message ids of the head epoch whose frames are gone, where the sender may not know that they were accepted: one of its
-- devices had not acknowledged them. Sent again, they are known again.
CREATE TABLE spent_ids (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    mid          BLOB    NOT NULL CHECK (length(mid) = 16),
    seq          INTEGER NOT NULL,
    at           INTEGER NOT NULL,                     -- Unix milliseconds, that of the frame
    sender       INTEGER NOT NULL,
    sha256       BLOB    NOT NULL CHECK (length(sha256) = 32), -- of the frame
    UNIQUE (conversation, mid)
) STRICT;
CREATE INDEX spent_ids_by_age ON spent_ids (at);
