-- Blobs: encrypted attachments. Their bytes lie in the blob folder, by hash; here is who refers to them. SPEC "Blobs".
CREATE TABLE blobs (
    id        INTEGER PRIMARY KEY,
    sha256    BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    bytes     INTEGER NOT NULL CHECK (bytes > 0),
    referrers INTEGER NOT NULL DEFAULT 0 CHECK (referrers >= 0) -- rows of blob_references; 0: nobody sees it, it goes
) STRICT;
CREATE INDEX blobs_of_nobody ON blobs (id) WHERE referrers = 0;

-- Each account has its own reference, which is what its quota counts and what it can give up.
CREATE TABLE blob_references (
    account    INTEGER NOT NULL REFERENCES accounts (id),
    blob       INTEGER NOT NULL REFERENCES blobs (id),
    bytes      INTEGER NOT NULL,                       -- of the blob
    expires_at INTEGER NOT NULL,                       -- Unix seconds
    PRIMARY KEY (account, blob)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_references_of_a_blob ON blob_references (blob);
CREATE INDEX blob_references_by_end ON blob_references (expires_at);

-- Blobs on their way. Room for all of a blob is taken when its first part comes. No file is put where blobs lie while
-- there is no row here or above: what a crash leaves there is found.
CREATE TABLE blob_uploads (
    account    INTEGER NOT NULL REFERENCES accounts (id),
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes      INTEGER NOT NULL CHECK (bytes > 0),
    received   INTEGER NOT NULL DEFAULT 0 CHECK (received BETWEEN 0 AND bytes), -- durable, and as they were signed
    touched_at INTEGER NOT NULL,                       -- Unix seconds, by the server's clock: the last part
    PRIMARY KEY (account, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_uploads_by_age ON blob_uploads (touched_at);

-- What all blobs and uploads take, in bytes.
CREATE TABLE blob_storage (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;
INSERT INTO blob_storage (one, bytes) VALUES (1, 0);

-- Both counts are right whoever writes.
CREATE TRIGGER blob_gets_a_referrer AFTER INSERT ON blob_references BEGIN
    UPDATE blobs SET referrers = referrers + 1 WHERE id = new.blob;
END;
CREATE TRIGGER blob_loses_a_referrer AFTER DELETE ON blob_references BEGIN
    UPDATE blobs SET referrers = referrers - 1 WHERE id = old.blob;
END;
CREATE TRIGGER blob_takes_room AFTER INSERT ON blobs BEGIN
    UPDATE blob_storage SET bytes = bytes + new.bytes;
END;
CREATE TRIGGER blob_gives_room AFTER DELETE ON blobs BEGIN
    UPDATE blob_storage SET bytes = bytes - old.bytes;
END;
CREATE TRIGGER blob_upload_takes_room AFTER INSERT ON blob_uploads BEGIN
    UPDATE blob_storage SET bytes = bytes + new.bytes;
END;
CREATE TRIGGER blob_upload_gives_room AFTER DELETE ON blob_uploads BEGIN
    UPDATE blob_storage SET bytes = bytes - old.bytes;
END;
