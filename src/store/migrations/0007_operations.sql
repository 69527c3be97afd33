-- Keys whose devices may do nothing here, by the operator's word. By key, so that it also holds for one that has not taken
-- a device in yet, and for one that gave its handle up and took another.
CREATE TABLE suspensions (
    primary_key BLOB    NOT NULL PRIMARY KEY CHECK (length(primary_key) = 32),
    account     INTEGER          UNIQUE REFERENCES accounts (id) ON DELETE SET NULL, -- NULL: has none, and gets none
                                                       -- while it is suspended. What every write looks at
    since       INTEGER NOT NULL,                      -- Unix seconds
    reason      TEXT                                   -- the operator's; told to nobody else
) STRICT, WITHOUT ROWID;

-- Bounds of a key that differ from everybody's.
CREATE TABLE account_quotas (
    primary_key BLOB    NOT NULL PRIMARY KEY CHECK (length(primary_key) = 32),
    messages    INTEGER CHECK (messages >= 0),         -- bytes; NULL: everybody's
    blobs       INTEGER CHECK (blobs >= 0),            -- bytes; NULL: everybody's
    CHECK (messages IS NOT NULL OR blobs IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- What the operator did, in the transaction in which it was done. A running server learns from new rows what commands of
-- another process did.
CREATE TABLE audit (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,                      -- Unix seconds
    action      TEXT    NOT NULL,
    handle      TEXT,                                  -- whom it was about, by both names, where it was about somebody
    primary_key BLOB    CHECK (length(primary_key) = 32),
    detail      TEXT    NOT NULL                       -- a JSON object
) STRICT;

CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'rows of the audit are never deleted');
END;

CREATE TRIGGER audit_rows_stay_as_they_are BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'rows of the audit are never changed');
END;
