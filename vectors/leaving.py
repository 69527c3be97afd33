"""Deletions of accounts and their receipts: a part of generate.py, which runs it. SPEC, Account deletion."""

import rfc8785

DOMAIN = b"kez-chat/deletion-receipt/v1\0"
AT = "2026-05-25T00:00:00Z"
KEPT = ["handle", "registration_hashes", "deletion_hash", "frames_for_others", "group_places", "operator_records", "sigchain_events"]


def write(g):
    deletions(g)
    receipts(g)


def deletion(g, tag="account_deletion", key=None, **members):
    payload = {"type": "kez.chat.account_deletion", "version": 1, "primary": g.ident(g.KEY), "created_at": AT, "server": "kez.lat", "handle": "tudisco", **members}
    return g.envelope({k: v for k, v in payload.items() if v is not ...}, tag, key or g.KEY)


def deletions(g):
    here = " SPEC, Account deletion."

    def good(name, comment, **members):
        made = deletion(g, **members)
        p = made["payload"]
        g.put("account-deletion", "valid", name, comment + here, envelope=g.compact(made), server=p["server"], handle=p["handle"], primary=p["primary"], canonical=rfc8785.dumps(made).decode(), payload_sha256=g.sha256(rfc8785.dumps(p)).hex())

    def bad(name, error, comment, made):
        g.put("account-deletion", "invalid", name, comment + here, envelope=g.compact(made), error=error)

    good("plain", "A deletion.")
    good("unknown-members", "Unknown members are signed and kept.", reason="moving on")
    good("other-server", "The server is a later check.", server="example.org")
    good("handle-that-is-none", "So is the handle.", handle="No Handle")
    bad("server-missing", "malformed", "No server.", deletion(g, server=...))
    bad("handle-missing", "malformed", "No handle.", deletion(g, handle=...))
    bad("handle-number", "malformed", "A number.", deletion(g, handle=7))
    bad("tag-of-registration", "wrong_type", "The tag is another one's.", deletion(g, tag="handle_registration"))
    bad("type-of-registration", "wrong_type", "The type is another one's: a registration deletes nothing.", deletion(g, type="kez.chat.handle_registration"))
    bad("version-2", "wrong_type", "Another version.", deletion(g, version=2))
    bad("device-key", "key_mismatch", "Signed with the key of a device.", deletion(g, key=g.signer("alice phone auth")))
    bad("primary-of-somebody-else", "key_mismatch", "Somebody else's account.", deletion(g, primary=g.ident(g.signer("bob"))))
    made = deletion(g)
    bad("other-handle", "bad_signature", "Another handle after signing.", {**made, "payload": {**made["payload"], "handle": "bob"}})


def receipts(g):
    here = " SPEC, Account deletion."
    server = g.signer("receipt key of kez.lat")
    about = g.sha256(rfc8785.dumps(deletion(g)["payload"])).hex()

    def receipt(**members):
        made = {"type": "kez.chat.deletion_receipt", "version": 1, "server": "kez.lat", "handle": "tudisco", "primary": g.ident(g.KEY), "deletion_sha256": about, "deleted_at": AT, "kept": KEPT, **members}
        return {k: v for k, v in made.items() if v is not ...}

    def signed(receipt, key=server, domain=DOMAIN, said=None):
        sig = key.sign(domain + rfc8785.dumps(receipt)).signature
        return {"receipt": receipt, "key": g.ident(said or key), "sig": sig.hex()}

    def good(name, comment, made):
        r = made["receipt"]
        g.put("deletion-receipt", "valid", name, comment + here, signed=g.compact(made), **({} if "note" in r else {"seed": server.encode().hex()}), key=g.ident(server), server=r["server"], handle=r["handle"], primary=r["primary"], deletion_sha256=r["deletion_sha256"], deleted_at=r["deleted_at"], kept=r["kept"], canonical=rfc8785.dumps(made).decode())

    def bad(name, error, comment, made):
        g.put("deletion-receipt", "invalid", name, comment + here, signed=g.compact(made), key=g.ident(server), error=error)

    good("plain", "A receipt.", signed(receipt()))
    good("nothing-kept", "A server that keeps nothing.", signed(receipt(kept=[])))
    good("other-words", "Words of a later server.", signed(receipt(kept=["handle", "backups"])))
    good("unknown-members", "Unknown members are signed.", signed(receipt(note="bye")))
    made = signed(receipt())
    bad("no-receipt", "malformed", "No receipt.", {k: v for k, v in made.items() if k != "receipt"})
    bad("another-member", "malformed", "A member that nobody signed.", {**made, "more": 1})
    bad("key-missing", "malformed", "No key.", {k: v for k, v in made.items() if k != "key"})
    bad("sig-upper-case", "malformed", "Upper-case hex.", {**made, "sig": made["sig"].upper()})
    bad("type-of-deletion", "malformed", "Another type.", signed(receipt(type="kez.chat.account_deletion")))
    bad("version-2", "malformed", "Another version.", signed(receipt(version=2)))
    for member in ("server", "handle", "primary", "deletion_sha256", "deleted_at", "kept"):
        bad(f"{member.replace('_', '-')}-missing", "malformed", f"No {member}.", signed(receipt(**{member: ...})))
    bad("handle-upper-case", "malformed", "Not a handle.", signed(receipt(handle="Tudisco")))
    bad("deletion-short", "malformed", "63 digits.", signed(receipt(deletion_sha256=about[:-1])))
    bad("kept-text", "malformed", "Not a list.", signed(receipt(kept="handle")))
    bad("kept-numbers", "malformed", "Not a list of texts.", signed(receipt(kept=[1])))
    bad("other-key", "other_key", "Well signed, by another key.", signed(receipt(), g.signer("mallory")))
    bad("says-another-key", "bad_signature", "Signed by another key than it says.", signed(receipt(), g.signer("mallory"), said=server))
    bad("other-handle", "bad_signature", "Another handle after signing.", {**made, "receipt": receipt(handle="bob")})
    bad("later", "bad_signature", "Another time after signing.", {**made, "receipt": receipt(deleted_at="2026-05-26T00:00:00Z")})
    bad("less-kept", "bad_signature", "Fewer words after signing.", {**made, "receipt": receipt(kept=[])})
    bad("without-domain", "bad_signature", "Signed without the text in front.", signed(receipt(), domain=b""))
    bad("domain-without-zero", "bad_signature", "Signed without the zero byte after the text.", signed(receipt(), domain=DOMAIN[:-1]))
    bad("domain-of-v2", "bad_signature", "Signed with another text in front.", signed(receipt(), domain=b"kez-chat/deletion-receipt/v2\0"))
