-- Every key that ever took a device in.
CREATE TABLE accounts (
    id            INTEGER PRIMARY KEY,
    primary_key   BLOB    NOT NULL UNIQUE CHECK (length(primary_key) = 32),
    revocations   INTEGER NOT NULL DEFAULT 0,          -- devices revoked so far: one more ends all sessions
    inbox_dropped INTEGER NOT NULL DEFAULT 0           -- every event up to this number has been dropped
) STRICT;

-- Every device that was ever taken in. A row outlives its revocation, so that no id and no key comes back.
CREATE TABLE devices (
    id             INTEGER PRIMARY KEY,
    account        INTEGER NOT NULL REFERENCES accounts (id),
    device_id      BLOB    NOT NULL CHECK (length(device_id) = 16),
    auth_key       BLOB    NOT NULL UNIQUE CHECK (length(auth_key) = 32),
    mls_key        BLOB    NOT NULL UNIQUE CHECK (length(mls_key) = 32),
    certificate    BLOB    NOT NULL CHECK (length(certificate) = 129),
    envelope       TEXT    NOT NULL,                   -- canonical (RFC 8785); of the last renewal
    payload_sha256 BLOB    NOT NULL UNIQUE CHECK (length(payload_sha256) = 32),
    signed_at      INTEGER NOT NULL,                   -- created_at of the envelope: Unix seconds
    signed_nanos   INTEGER NOT NULL,                   --   and nanoseconds; a renewal is later
    expires_at     INTEGER NOT NULL,                   -- Unix seconds
    enrolled_at    INTEGER NOT NULL,                   -- Unix seconds, by the server's clock; not moved by a renewal
    acked          INTEGER NOT NULL,                   -- its cursor: inbox events up to this number need not be kept for it
    revoked_at     INTEGER,                            -- Unix seconds, by the server's clock; NULL: not revoked
    revocation     TEXT,                               -- canonical envelope
    UNIQUE (account, device_id),
    CHECK ((revoked_at IS NULL) = (revocation IS NULL))
) STRICT;
