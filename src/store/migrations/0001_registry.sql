-- Whose home this is: the name that all its people have signed for.
CREATE TABLE home (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    server TEXT    NOT NULL
) STRICT;

-- Every registration that was ever accepted, by SHA-256 of its signed bytes. A row outlives the account, so that no
-- registration can be replayed.
CREATE TABLE registrations (
    id             INTEGER PRIMARY KEY,
    payload_sha256 BLOB    NOT NULL UNIQUE CHECK (length(payload_sha256) = 32),
    handle         TEXT    NOT NULL,
    envelope       TEXT                                -- canonical (RFC 8785); NULL: the handle was given up
) STRICT;

-- Every handle that was ever given out. A row is never deleted, so no handle is given out twice.
-- Narrow, and found by a number: the upper levels of the tree hold numbers only, so a reader's small cache holds them
-- all, and a lookup in a million reads one page.
CREATE TABLE handles (
    id            INTEGER PRIMARY KEY,                 -- SHA-256 of the handle, its first 8 bytes, big-endian, signed
    handle        TEXT    NOT NULL,
    skeleton      TEXT    NOT NULL UNIQUE,             -- SPEC "Handles": no two handles that look alike
    primary_key   BLOB             UNIQUE CHECK (length(primary_key) = 32), -- NULL: the handle was given up
    registered_at INTEGER NOT NULL,                    -- Unix seconds, by the server's clock
    registration  INTEGER NOT NULL REFERENCES registrations (id),
    checksum      INTEGER NOT NULL                     -- SHA-256 of primary_key, registered_at (8 bytes, big-endian) and
                                                       -- handle, its first 8 bytes: no damaged row is ever shown
) STRICT;

CREATE TABLE invites (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,    -- a number is never used twice
    token_sha256 BLOB    NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
    uses_left    INTEGER NOT NULL CHECK (uses_left >= 0),
    expires_at   INTEGER NOT NULL                      -- Unix seconds
) STRICT;
