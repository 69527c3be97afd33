-- The MLS key packages of devices. A row outlives its bytes until not_after, so that no package is taken, and so handed
-- out, a second time.
CREATE TABLE key_packages (
    id              INTEGER PRIMARY KEY,               -- in the order of upload: the oldest is handed out first
    device          INTEGER NOT NULL REFERENCES devices (id),
    init_key_sha256 BLOB    NOT NULL UNIQUE CHECK (length(init_key_sha256) = 32),
    package_sha256  BLOB    NOT NULL CHECK (length(package_sha256) = 32),
    is_last_resort  INTEGER NOT NULL CHECK (is_last_resort IN (0, 1)),
    not_after       INTEGER NOT NULL,                  -- Unix seconds
    package         BLOB                               -- NULL: handed out, replaced, too old, or of an old certificate
) STRICT;

CREATE INDEX key_packages_of_a_device ON key_packages (device, is_last_resort, id, not_after) WHERE package IS NOT NULL;
CREATE UNIQUE INDEX one_last_resort ON key_packages (device) WHERE is_last_resort = 1 AND package IS NOT NULL;
CREATE INDEX key_packages_by_end ON key_packages (not_after);

-- What was handed out to whom, for an hour: the answer to a repeated call, and what limits are counted by.
CREATE TABLE key_package_claims (
    id         INTEGER PRIMARY KEY,
    claimer    INTEGER NOT NULL REFERENCES accounts (id),
    claim_id   BLOB    NOT NULL CHECK (length(claim_id) = 16), -- chosen by the claimer
    target     INTEGER NOT NULL REFERENCES accounts (id),
    claimed_at INTEGER NOT NULL,                       -- Unix seconds
    answer     TEXT    NOT NULL,                       -- JSON, as it is answered
    UNIQUE (claimer, claim_id)
) STRICT;

CREATE INDEX key_package_claims_of_a_target ON key_package_claims (claimer, target, claimed_at);
CREATE INDEX key_package_claims_by_age ON key_package_claims (claimed_at);
