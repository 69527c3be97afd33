-- What the devices of an account keep for each other: bytes that the server cannot read, by name. SPEC "Small store".
-- A row outlives its bytes for a while, so that a version is not used twice.
CREATE TABLE store_entries (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),      -- 1 for the first write of the name, then one more with each
    at      INTEGER NOT NULL,                          -- Unix seconds, by the server's clock: the last write
    bytes   BLOB,                                      -- NULL: deleted; the deletion is a version too
    UNIQUE (account, name)
) STRICT;
