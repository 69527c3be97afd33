-- Every chain and where it ends. A key is a byte for its system (1: ed25519, 2: nostr) and its 32 bytes.
CREATE TABLE chains (
    number      INTEGER NOT NULL PRIMARY KEY,
    chain       BLOB    NOT NULL UNIQUE CHECK (length(chain) = 33),  -- the key of event 0, for ever
    primary_key BLOB    NOT NULL CHECK (length(primary_key) = 33),   -- the key that has to sign the next event
    seq         INTEGER NOT NULL CHECK (seq BETWEEN 0 AND 16383),    -- of the last event
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),          -- of the last event
    bytes       INTEGER NOT NULL,                                    -- of all its events, each with a line end
    counted_at  BLOB    NOT NULL,                                    -- when events that count for the rates were
                                                                     -- accepted: Unix seconds, 8 bytes each, big-endian
    checksum    INTEGER NOT NULL                                     -- SHA-256 of the values before, its first 8 bytes
) STRICT;

-- Every event as it is served. The place is chains.number * 16384 + seq: a chain lies together and in order, and no two
-- events have the same place.
CREATE TABLE events (
    place       INTEGER NOT NULL PRIMARY KEY,
    accepted_at INTEGER NOT NULL,                                    -- Unix seconds, by the server's clock
    envelope    TEXT    NOT NULL                                     -- canonical (RFC 8785)
) STRICT;

-- Sums over all chains.
CREATE TABLE totals (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    chains INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;

INSERT INTO totals (one, chains, events, bytes) VALUES (1, 0, 0, 0);
