-- What each account has sent, as far as it still counts: SPEC "Sending". In the row that each of its messages rewrites anyway.
ALTER TABLE accounts ADD COLUMN sent_bytes INTEGER NOT NULL DEFAULT 0; -- as they counted at that time
ALTER TABLE accounts ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0;    -- Unix milliseconds: the last message
ALTER TABLE accounts ADD COLUMN sent_max INTEGER;      -- its bound, a copy of account_quotas.messages; NULL: everybody's

-- Each counted as SPEC says, all of it in full.
UPDATE accounts SET sent_bytes = s.bytes, sent_at = s.at
FROM (SELECT sender, sum(max(length(bytes), 2048)) AS bytes, max(at) AS at FROM frames GROUP BY sender) s
WHERE s.sender = accounts.id;
UPDATE accounts SET sent_max = q.messages FROM account_quotas q WHERE q.primary_key = accounts.primary_key;

-- The copy is right whoever writes.
CREATE TRIGGER quota_is_copied AFTER INSERT ON account_quotas BEGIN
    UPDATE accounts SET sent_max = new.messages WHERE primary_key = new.primary_key;
END;
CREATE TRIGGER quota_is_no_more AFTER DELETE ON account_quotas BEGIN
    UPDATE accounts SET sent_max = NULL WHERE primary_key = old.primary_key;
END;
CREATE TRIGGER account_gets_its_quota AFTER INSERT ON accounts BEGIN
    UPDATE accounts SET sent_max = (SELECT messages FROM account_quotas WHERE primary_key = new.primary_key)
    WHERE id = new.id;
END;
