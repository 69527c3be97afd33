-- Accounts that were deleted, and those that are being deleted. SPEC "Account calls".

-- An account row outlives its deletion only where groups have not yet removed the key: it holds the key's place.
ALTER TABLE accounts ADD COLUMN left_at INTEGER;       -- Unix seconds, by the server's clock; NULL: it lives

-- Every deletion that was ever accepted, by SHA-256 of its signed bytes: none counts twice. Neither key nor handle.
CREATE TABLE deletions (
    id             INTEGER PRIMARY KEY,
    payload_sha256 BLOB    NOT NULL UNIQUE CHECK (length(payload_sha256) = 32),
    receipt_key    BLOB    NOT NULL CHECK (length(receipt_key) = 4), -- id of the secret that its receipt is signed with
    account        INTEGER,                            -- number of the row, which nobody gets again; NULL: there was none
    last_device    INTEGER NOT NULL,                   -- the highest number of its devices' rows: nobody gets it again
    conversation   INTEGER NOT NULL DEFAULT 0,         -- how far it is: conversations up to this one are done,
    seq            INTEGER NOT NULL DEFAULT 0,         --   and of the next one frames up to this one
    finished_at    INTEGER                             -- Unix seconds, by the server's clock; NULL: it goes on
) STRICT;
CREATE INDEX deletions_by_account ON deletions (account);
CREATE INDEX deletions_by_last_device ON deletions (last_device);
CREATE INDEX unfinished_deletions ON deletions (id) WHERE finished_at IS NULL;

-- Who created a conversation may have left.
DROP INDEX conversations_by_creator;
ALTER TABLE conversations RENAME COLUMN creator TO first_creator;
ALTER TABLE conversations ADD COLUMN creator INTEGER REFERENCES accounts (id) ON DELETE SET NULL;
UPDATE conversations SET creator = first_creator;
ALTER TABLE conversations DROP COLUMN first_creator;

-- What is looked through when an account or a conversation goes.
CREATE INDEX conversations_by_creator ON conversations (creator);
CREATE INDEX key_packages_by_device ON key_packages (device);
CREATE INDEX key_package_claims_by_target ON key_package_claims (target);
CREATE INDEX pairs_by_high ON pairs (high);
CREATE INDEX pairs_by_conversation ON pairs (conversation);
CREATE INDEX welcome_recipients_by_account ON welcome_recipients (account);

-- Every inbox and whose it is, with the numbers of the last event that was put in and of the last that was dropped. The
-- first is not stored: each frame would write a row more for each member.
CREATE VIEW inboxes AS
    SELECT id AS account, primary_key, left_at, inbox_dropped AS dropped,
        coalesce((SELECT max(n) FROM inbox WHERE account = accounts.id), inbox_dropped) AS head
    FROM accounts;
