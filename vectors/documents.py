"""Claims, sigchains, their encodings and nostr signatures: the second half of generate.py, which runs it.

Compression is python-zstandard's (libzstd, 0.25.0 for the files here; another version may compress differently, and
the old files stay right), the crafted frames are put together by hand (RFC 8878).
"""

import base64
import json
import struct

import rfc8785
import zstandard

AT = "2026-05-25T00:00:{:02}Z"


def write(g):
    for topic in (claims, sigchains, comparisons, encodings, nostr):
        topic(Documents(g))


class Documents:
    """What the topics share: keys, signing in both algorithms, chains."""

    def __init__(self, g):
        self.g, self.put, self.sha256 = g, g.put, g.sha256
        self.alice, self.mallory, self.next = g.KEY, g.signer("mallory"), g.signer("next key")
        self.nostr = int.from_bytes(g.sha256(b"kez vectors nostr chain"), "big")

    def id(self, key):
        if isinstance(key, int):
            return "nostr:" + self.g.bech32("npub", self.g.bip340(key, b"")[0])
        return self.g.ident(key)

    def sign(self, tag, payload, key):
        if isinstance(key, int):
            signature = self.g.bip340(key, self.sha256(rfc8785.dumps(payload)))[1].hex()
            return {"kez": tag, "payload": payload, "signature": {"alg": self.g.ALG_NOSTR, "key": self.id(key), "sig": signature}}
        return self.g.envelope(payload, tag, key)

    def claim(self, key=None, **members):
        key = key or self.alice
        return self.sign("claim", {"type": "kez.claim", "version": 1, "primary": self.id(key), "created_at": "2026-05-25T00:00:00Z", "subject": "github:jason", **members}, key)

    def hash(self, envelope):
        return "sha256:" + self.sha256(rfc8785.dumps(envelope)).hex()

    def event(self, chain, op, inner, key=None, /, **members):
        """The next event of `chain`, a list of envelopes."""
        key = key or self.alice
        payload = {"type": "kez.sigchain.event", "version": 1, "primary": self.id(key), "created_at": AT.format(len(chain)), "seq": len(chain), "op": op, "payload": inner}
        if chain:
            payload["prev"] = self.hash(chain[-1])
        return self.sign("sigchain_event", {k: v for k, v in {**payload, **members}.items() if v is not None}, key)

    def grow(self, chain, *steps, key=None):
        for op, inner in steps:
            chain = chain + [self.event(chain, op, inner, key)]
        return chain

    def proof(self, chain, key, id=None, tag="sigchain_rotation", **members):
        """The consent of `key` to take over `chain` next."""
        payload = {"type": "kez.sigchain.rotation", "version": 1, "primary": self.id(key), "created_at": AT.format(len(chain)), "chain": id or self.id(self.alice), "seq": len(chain)}
        if chain:
            payload["prev"] = self.hash(chain[-1])
        return self.sign(tag, {k: v for k, v in {**payload, **members}.items() if v is not None}, key)

    def rotate(self, chain, key, signer=None, new_primary=None, **proof):
        inner = {"new_primary": new_primary or self.id(key), "proof": self.proof(chain, key, **proof)}
        return chain + [self.event(chain, "rotate", inner, signer)]


def add(subject):
    return ("add", {"subject": subject})


def revoke(subject):
    return ("revoke", {"subject": subject})


def device(op, number, certificate):
    return (op, {"device_id": f"{number:032x}", "certificate_sha256": f"{certificate:064x}"})


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def jsonl(chain):
    return "".join((line if isinstance(line, str) else rfc8785.dumps(line).decode()) + "\n" for line in chain)


# --- Claims ----------------------------------------------------------------------------------------------------------


def claims(d):
    here = " SPEC, Claims."

    def good(name, comment, envelope, subject="github:jason", **more):
        p = envelope["payload"]
        d.put("claim", "valid", name, comment + here, envelope=compact(envelope), subject=subject, primary=p["primary"], expires_at=p.get("expires_at"), canonical=rfc8785.dumps(envelope).decode(), **more)

    def bad(name, code, comment, envelope):
        d.put("claim", "invalid", name, comment + here, envelope=envelope if isinstance(envelope, str) else compact(envelope), error=code)

    good("published", "The published claim of github:jason.", d.claim())
    good("nostr", "By a nostr key.", d.claim(d.nostr))
    good("subject-in-other-spelling", "The subject is read in normal form; the signed bytes keep their spelling.", d.claim(subject="GitHub:Jason"))
    good("subject-of-unknown-system", "A system that nobody knows.", d.claim(subject="matrix:@Alice:example.org"), "matrix:@Alice:example.org")
    good("subject-is-a-key", "One key claims another.", d.claim(subject=d.id(d.nostr)), d.id(d.nostr))
    good("unknown-members", "Unknown members are signed and kept.", d.claim(note="kept", list=[1, {"a": None}]))
    end = "2026-06-01T00:00:00Z"
    for name, comment, now, expired in (
        ("expires-later", "Not yet expired.", "2026-05-31T23:59:59.999999999Z", False),
        ("expires-now", "Expired from that instant on.", end, True),
        ("expires-now-by-fraction", "The same instant in another spelling.", "2026-06-01T00:00:00.000Z", True),
        ("expired", "Expired long ago.", "2030-01-01T00:00:00Z", True),
    ):
        good(name, comment, d.claim(expires_at=end), now=now, expired=expired)
    good("expired-before-it-was-made", "expires_at before created_at: well formed, and expired from the start.", d.claim(expires_at="2020-01-01T00:00:00Z"), now="2026-05-25T00:00:00Z", expired=True)
    good("never-expires", "Without expires_at it does not expire.", d.claim(), now="9999-12-31T23:59:59Z", expired=False)

    for name, comment, members in (
        ("subject-missing", "No subject.", {"subject": None}),
        ("subject-is-number", "A subject that is no string.", {"subject": 1}),
        ("subject-empty", "An empty subject.", {"subject": ""}),
        ("subject-without-system", "No system.", {"subject": "jason"}),
        ("subject-with-space", "White space.", {"subject": "github:ja son"}),
        ("subject-bad-key", "A key that is none.", {"subject": "ed25519:abc"}),
        ("subject-too-long", "513 bytes.", {"subject": "x:" + "a" * 511}),
        ("expires-at-null", "Absent is absent, not null.", {"expires_at": None}),
        ("expires-at-number", "Unix seconds.", {"expires_at": 1780272000}),
        ("expires-at-date", "No time of day.", {"expires_at": "2026-06-01"}),
        ("expires-at-offset", "Not UTC.", {"expires_at": "2026-06-01T00:00:00+00:00"}),
    ):
        envelope = d.claim(**members)
        if name == "subject-missing":
            envelope = d.sign("claim", {k: v for k, v in envelope["payload"].items() if k != "subject"}, d.alice)
        bad(name, "malformed", comment, envelope)
    claim = d.claim()
    event = d.event([], *add("github:jason"))
    bad("envelope-extra-member", "malformed", "A further member would be unsigned.", {**claim, "note": 1})
    bad("signature-extra-member", "malformed", "A further member would be unsigned.", {**claim, "signature": {**claim["signature"], "note": 1}})
    bad("event-under-claim-tag", "wrong_type", "An event that says it is a claim.", {**event, "kez": "claim"})
    bad("claim-under-event-tag", "wrong_type", "The tag is not signed, and still counts.", {**claim, "kez": "sigchain_event"})
    bad("version-2", "wrong_type", "Another version.", d.claim(version=2))
    bad("primary-of-another", "key_mismatch", "primary names another key than the one that signed.", d.sign("claim", {**claim["payload"], "primary": d.id(d.mallory)}, d.alice))
    bad("primary-is-dns", "key_mismatch", "primary is no key.", {**claim, "payload": {**claim["payload"], "primary": "dns:example.org"}, "signature": {**claim["signature"], "key": "dns:example.org"}})
    bad("changed-subject", "bad_signature", "Changed after it was signed.", {**claim, "payload": {**claim["payload"], "subject": "github:mallory"}})
    bad("signed-by-another", "bad_signature", "key is primary, but another key signed.", {**claim, "signature": {**claim["signature"], "sig": d.g.sign(claim["payload"], d.mallory)}})
    by_nostr = d.claim(d.nostr)
    flip = lambda e: {**e, "signature": {**e["signature"], "sig": e["signature"]["sig"][:-1] + ("0" if e["signature"]["sig"][-1] != "0" else "1")}}
    bad("nostr-changed-signature", "bad_signature", "A nostr signature with the last digit changed.", flip(by_nostr))
    bad("nostr-signed-without-hash", "bad_signature", "A BIP-340 signature over the payload itself instead of its SHA-256.", {**by_nostr, "signature": {**by_nostr["signature"], "sig": d.g.bip340(d.nostr, rfc8785.dumps(by_nostr["payload"]))[1].hex()}})
    bad("nostr-with-ed25519-alg", "bad_signature", "A nostr key makes no Ed25519 signature.", {**by_nostr, "signature": {**by_nostr["signature"], "alg": d.g.ALG}})
    bad("ed25519-with-nostr-alg", "bad_signature", "An Ed25519 key makes no BIP-340 signature.", {**claim, "signature": {**claim["signature"], "alg": d.g.ALG_NOSTR}})
    bad("nostr-key-as-ed25519", "bad_signature", "The x coordinate of a nostr key under the name of an Ed25519 key, with a correct BIP-340 signature.", as_ed25519(d))


def as_ed25519(d):
    name = "ed25519:" + d.g.bip340(d.nostr, b"")[0].hex()
    payload = {**d.claim()["payload"], "primary": name}
    return {"kez": "claim", "payload": payload, "signature": {"alg": d.g.ALG, "key": name, "sig": d.g.bip340(d.nostr, d.sha256(rfc8785.dumps(payload)))[1].hex()}}


# --- Sigchains -------------------------------------------------------------------------------------------------------


def sigchains(d):
    here = " SPEC, Sigchains."
    me = d.id(d.alice)

    def good(name, comment, chain, subjects=(), devices=None, rotations=(), id=me, primary=None, key_since=None, text=None):
        last = chain[-1]
        d.put("sigchain", "valid", name, comment + here, chain=id, jsonl=text or jsonl(chain), head={"seq": len(chain) - 1, "hash": d.hash(last), "primary": primary or id}, subjects=sorted(subjects), devices=devices or {}, rotations=list(rotations), key_since=key_since or AT.format(0))

    def bad(name, code, line, comment, chain, id=me):
        d.put("sigchain", "invalid", name, comment + here, chain=id, jsonl=chain if isinstance(chain, str) else jsonl(chain), error=code, line=line)

    one = d.grow([], add("github:jason"))
    published = d.grow(one, revoke("github:jason"))
    published[1] = d.event(one, *revoke("github:jason"), created_at="2026-05-25T00:01:00Z")
    assert d.hash(published[1]) == "sha256:c25c98767440e997a0cd8388e6f19eed35fd0c75315f68f90f0125ed1f2f7cf9"
    three = d.grow(one, add("dns:example.org"), add("ap:alice@example.social"))
    good("published", "The two published events: add and revoke.", published)
    good("one-event", "A chain of one event.", one, ["github:jason"])
    good("three-subjects", "Three subjects.", three, ["github:jason", "dns:example.org", "ap:alice@example.social"])
    good("no-final-line-feed", "The last line feed may be missing.", three, ["github:jason", "dns:example.org", "ap:alice@example.social"], text=jsonl(three)[:-1])
    good("crlf", "A carriage return is white space of JSON.", three, ["github:jason", "dns:example.org", "ap:alice@example.social"], text=jsonl(three).replace("\n", "\r\n"))
    good("lines-not-canonical", "Lines with members in another order and blanks: hashes are over the canonical form.", three, ["github:jason", "dns:example.org", "ap:alice@example.social"], text="".join(json.dumps(dict(reversed(e.items()))) + "\n" for e in three))
    good("added-again", "Added, revoked, added again.", d.grow(one, revoke("github:jason"), add("github:jason")), ["github:jason"])
    good("added-twice", "A second add changes nothing.", d.grow(one, add("github:jason")), ["github:jason"])
    good("revoked-in-other-spelling", "Subjects are compared in normal form.", d.grow(one, revoke("GitHub:Jason")))
    good("revoked-but-never-added", "A revoke of what was not there changes nothing.", d.grow(one, revoke("github:other")), ["github:jason"])
    good("first-event-revokes", "No operation has to be the first one.", d.grow([], revoke("github:jason")))
    good("unknown-op", "An unknown operation is kept, hashed, and without effect.", d.grow(one, ("endorse", {"subject": "github:jason", "weight": 3}), add("dns:example.org")), ["github:jason", "dns:example.org"])
    good("unknown-op-empty-name", "Even this name is only unknown.", d.grow(one, ("", {})), ["github:jason"])
    good("op-in-upper-case", "Names of operations have a case: this one is unknown.", d.grow([], ("ADD", {"subject": 1})))
    good("unknown-inner-members", "Unknown members of the inner payload and of the payload are kept.", [d.event([], "add", {"subject": "github:jason", "proof_url": "https://example.org"}, note=[1])], ["github:jason"])
    c = f"{7:064x}"
    good("device-added", "A device.", d.grow(one, device("add_device", 1, 7)), ["github:jason"], {f"{1:032x}": {"certificate_sha256": c, "revoked": False}})
    good("device-renewed", "A second add_device brings a new certificate.", d.grow(one, device("add_device", 1, 6), device("add_device", 1, 7)), ["github:jason"], {f"{1:032x}": {"certificate_sha256": c, "revoked": False}})
    good("device-revoked", "A revoked device.", d.grow(one, device("add_device", 1, 7), device("revoke_device", 1, 7)), ["github:jason"], {f"{1:032x}": {"certificate_sha256": c, "revoked": True}})
    good("device-revoked-then-added", "A revoked device never comes back.", d.grow(one, device("add_device", 1, 7), device("revoke_device", 1, 7), device("add_device", 1, 8)), ["github:jason"], {f"{1:032x}": {"certificate_sha256": c, "revoked": True}})
    good("device-revoked-never-added", "Revoked before it was named.", d.grow(one, device("revoke_device", 1, 7), device("add_device", 1, 8)), ["github:jason"], {f"{1:032x}": {"certificate_sha256": c, "revoked": True}})

    def rotation(seq, a, b):
        return {"seq": seq, "from": d.id(a), "to": d.id(b)}

    turned = d.rotate(one, d.next)
    good("rotated", "The key is handed over; what it held stays.", turned, ["github:jason"], rotations=[rotation(1, d.alice, d.next)], primary=d.id(d.next), key_since=AT.format(1))
    after = d.grow(turned, add("dns:example.org"), revoke("github:jason"), key=d.next)
    good("rotated-and-on", "The new key goes on; the chain keeps its name.", after, ["dns:example.org"], rotations=[rotation(1, d.alice, d.next)], primary=d.id(d.next), key_since=AT.format(1))
    good("rotated-to-nostr", "From Ed25519 to nostr.", d.grow(d.rotate(one, d.nostr), add("dns:example.org"), key=d.nostr), ["github:jason", "dns:example.org"], rotations=[rotation(1, d.alice, d.nostr)], primary=d.id(d.nostr), key_since=AT.format(1))
    back = d.rotate(turned, d.alice, d.next)
    good("rotated-back", "To another key and back.", back, ["github:jason"], rotations=[rotation(1, d.alice, d.next), rotation(2, d.next, d.alice)], primary=me, key_since=AT.format(2))
    good("rotated-at-once", "Event 0 hands over; the chain keeps the name of the key that signed it.", d.grow(d.rotate([], d.next), add("dns:example.org"), key=d.next), ["dns:example.org"], rotations=[rotation(0, d.alice, d.next)], primary=d.id(d.next))
    nostr = d.grow([], add("github:jason"), add("dns:example.org"), key=d.nostr)
    good("nostr", "A chain of a nostr key.", nostr, ["github:jason", "dns:example.org"], id=d.id(d.nostr))
    good("times-go-back", "created_at is the signer's word; its order is no rule.", one + [d.event(one, *add("dns:example.org"), created_at="2001-01-01T00:00:00Z")], ["github:jason", "dns:example.org"])

    # Whole chains, damaged.
    bad("empty", "empty", None, "No event at all.", "")
    bad("empty-line-feed", "empty", None, "Nothing but a line feed.", "\n")
    bad("truncated-start", "bad_sequence", 1, "The first event is missing.", three[1:])
    bad("truncated-line", "malformed", 3, "The text breaks off within a line.", jsonl(three)[:-40])
    bad("gap", "bad_sequence", 2, "An event is missing in the middle.", [three[0], three[2]])
    bad("reordered", "bad_sequence", 2, "Two events have changed places.", [three[0], three[2], three[1]])
    bad("repeated", "bad_sequence", 2, "An event stands twice.", [three[0], three[0], three[1]])
    bad("newest-first", "bad_sequence", 1, "The wrong end first.", three[::-1])
    bad("blank-line", "malformed", 2, "A blank line between events.", jsonl(three[:1]) + "\n" + jsonl(three[1:]))
    bad("two-events-on-a-line", "malformed", 1, "No line feed between two events.", jsonl(three[:1])[:-1] + jsonl(three[1:]))
    bad("json-array", "malformed", 1, "A JSON array instead of lines.", compact(three))
    other = d.grow(one, add("github:other"))
    bad("forked", "wrong_prev", 3, "An event of another branch: its predecessor is not the one before it here.", [three[0], other[1], three[2]])
    bad("re-signed", "wrong_prev", 3, "The holder signed an earlier event again; what follows hangs on the old one.", [three[0], d.event(one, *add("dns:example.org"), created_at=AT.format(9)), three[2]])
    bad("prev-of-payload", "wrong_prev", 2, "prev is the hash of the payload instead of the envelope.", one + [d.event(one, *add("dns:example.org"), prev="sha256:" + d.sha256(rfc8785.dumps(one[0]["payload"])).hex())])
    bad("prev-of-text", "wrong_prev", 2, "prev is the hash of the line as it stood, with blanks.", one + [d.event(one, *add("dns:example.org"), prev="sha256:" + d.sha256(json.dumps(one[0]).encode()).hex())])
    bad("prev-with-line-feed", "wrong_prev", 2, "prev is the hash of the line with its line feed.", one + [d.event(one, *add("dns:example.org"), prev="sha256:" + d.sha256(rfc8785.dumps(one[0]) + b"\n").hex())])
    bad("seq-from-1", "bad_sequence", 1, "The first event has position 1.", [d.event(one, *add("github:jason"))])
    bad("seq-repeated", "bad_sequence", 3, "The right prev at a position that is taken.", [*three[:2], d.event(three[:2], *add("dns:example.net"), seq=1)])
    bad("seq-skipped", "bad_sequence", 2, "The right prev, one position too far.", one + [d.event(one, *add("dns:example.org"), seq=2)])
    mallory = d.grow([], add("github:jason"), key=d.mallory)
    bad("chain-of-another", "wrong_primary", 1, "The chain of another key than the one asked for.", mallory)
    bad("event-of-another", "wrong_primary", 2, "Another key appends.", one + [d.event(one, *add("github:mallory"), d.mallory)])
    bad("re-signed-by-another", "wrong_primary", 1, "The whole chain again, by another key.", d.grow([], add("github:jason"), add("dns:example.org"), key=d.mallory))
    forged = lambda e, key: {**e, "payload": {**e["payload"], "primary": me}, "signature": {**e["signature"], "key": me}}
    bad("signed-by-another", "bad_signature", 2, "Another key signs in the holder's name.", one + [forged(d.event(one, *add("github:mallory"), d.mallory), d.mallory)])
    bad("changed-subject", "bad_signature", 1, "Changed after it was signed.", [{**one[0], "payload": {**one[0]["payload"], "payload": {"subject": "github:mallory"}}}])
    bad("key-mismatch", "key_mismatch", 1, "signature.key and primary differ.", [d.sign("sigchain_event", {**one[0]["payload"], "primary": me}, d.mallory)])
    bad("envelope-extra-member", "malformed", 1, "A further member would be unsigned, and give the event a second hash.", [{**one[0], "note": "x"}])
    bad("signature-extra-member", "malformed", 1, "A further member would be unsigned, and give the event a second hash.", [{**one[0], "signature": {**one[0]["signature"], "note": "x"}}])
    bad("sig-upper-case", "malformed", 1, "A second spelling of the signature would be a second hash.", [{**one[0], "signature": {**one[0]["signature"], "sig": one[0]["signature"]["sig"].upper()}}])
    bad("claim-in-chain", "wrong_type", 2, "A claim is no event.", one + [d.claim()])
    bad("claim-under-event-tag", "wrong_type", 2, "The tag alone makes no event.", one + [{**d.claim(), "kez": "sigchain_event"}])
    bad("registration-in-chain", "wrong_type", 1, "A registration is no event.", [d.g.envelope(d.g.REGISTRATION)])
    bad("version-2", "wrong_type", 1, "Another version.", [d.event([], *add("github:jason"), version=2)])
    bad("line-over-16-kib", "too_large", 1, "A line of more than 16 KiB.", [d.event([], "note", {"text": "a" * 16384})])

    # Members of an event.
    zero = "sha256:" + "0" * 64
    for name, comment, chain, members in (
        ("prev-at-0", "prev at position 0.", [], {"prev": zero}),
        ("prev-missing", "No prev after position 0.", one, {"prev": None}),
        ("prev-without-prefix", "prev lacks its prefix.", one, {"prev": d.hash(one[0])[7:]}),
        ("prev-upper-case", "prev in upper-case hex.", one, {"prev": "sha256:" + d.hash(one[0])[7:].upper()}),
        ("prev-short", "prev of 31 bytes.", one, {"prev": d.hash(one[0])[:-2]}),
        ("seq-negative", "A negative position.", [], {"seq": -1}),
        ("seq-is-string", "A position that is no number.", [], {"seq": "0"}),
        ("seq-missing", "No position.", [], {"seq": None}),
        ("op-missing", "No operation.", [], {"op": None}),
        ("op-is-object", "An operation that is no string.", [], {"op": {"add": 1}}),
        ("inner-missing", "No inner payload.", [], {"payload": None}),
        ("inner-is-string", "An inner payload that is no object.", [], {"payload": "github:jason"}),
    ):
        bad(name, "malformed", len(chain) + 1, comment, chain + [d.event(chain, *add("github:jason"), **members)])
    bad("prev-null", "malformed", 1, "Absent is absent, not null.", [d.sign("sigchain_event", {**one[0]["payload"], "prev": None}, d.alice)])
    for name, comment, op, inner in (
        ("add-without-subject", "A known operation needs its members.", "add", {}),
        ("add-subject-not-identifier", "A subject that is none.", "add", {"subject": "jason"}),
        ("revoke-without-subject", "A known operation needs its members.", "revoke", {}),
        ("device-without-id", "A known operation needs its members.", "add_device", {"certificate_sha256": c}),
        ("device-without-certificate", "A known operation needs its members.", "add_device", {"device_id": f"{1:032x}"}),
        ("device-id-upper-case", "Upper-case hex.", "add_device", {"device_id": "A" * 32, "certificate_sha256": c}),
        ("device-id-of-31-digits", "A digit short.", "add_device", {"device_id": "a" * 31, "certificate_sha256": c}),
        ("device-certificate-with-prefix", "This hash has no prefix.", "add_device", {"device_id": "a" * 32, "certificate_sha256": "sha256:" + c}),
        ("revoke-device-without-certificate", "A known operation needs its members.", "revoke_device", {"device_id": f"{1:032x}"}),
        ("rotate-without-proof", "A known operation needs its members.", "rotate", {"new_primary": d.id(d.next)}),
        ("rotate-proof-is-string", "A proof that is no envelope.", "rotate", {"new_primary": d.id(d.next), "proof": "yes"}),
        ("rotate-proof-extra-member", "A proof is an envelope, and has no further member.", "rotate", {"new_primary": d.id(d.next), "proof": {**d.proof([], d.next), "note": 1}}),
        ("rotate-to-dns", "Not a key.", "rotate", {"new_primary": "dns:example.org", "proof": d.proof([], d.next)}),
    ):
        bad(name, "malformed", 1, comment, d.grow([], (op, inner)))

    # Rotations that hand nothing over.
    def handed(proof, new=None):
        return one + [d.event(one, "rotate", {"new_primary": new or d.id(d.next), "proof": proof})]

    fresh = d.proof(one, d.next)
    bad("rotation-proof-by-another", "bad_rotation", 2, "The proof is by another key than new_primary.", handed(d.proof(one, d.mallory)))
    bad("rotation-proof-by-old-key", "bad_rotation", 2, "The old key consents to its own rotation.", handed(d.proof(one, d.alice)))
    bad("rotation-proof-forged", "bad_rotation", 2, "The proof names the new key, which did not sign it.", handed({**d.proof(one, d.mallory), "payload": {**d.proof(one, d.mallory)["payload"], "primary": d.id(d.next)}, "signature": {**d.proof(one, d.mallory)["signature"], "key": d.id(d.next)}}))
    bad("rotation-proof-key-mismatch", "bad_rotation", 2, "signature.key and primary of the proof differ.", handed(d.sign("sigchain_rotation", fresh["payload"], d.mallory)))
    bad("rotation-proof-for-another-chain", "bad_rotation", 2, "A proof given to another chain.", handed(d.proof(one, d.next, d.id(d.mallory))))
    bad("rotation-proof-for-another-position", "bad_rotation", 2, "A proof given for a later position.", handed(d.proof(one, d.next, seq=2)))
    bad("rotation-proof-after-another-event", "bad_rotation", 2, "A proof given after another event at the same position.", handed(d.proof(d.grow([], add("github:other")), d.next)))
    bad("rotation-proof-for-position-0", "bad_rotation", 2, "A proof given for the begin of the chain.", handed(d.proof([], d.next)))
    bad("rotation-proof-is-event", "bad_rotation", 2, "An event of the new key at this position is no proof.", handed(d.event(one, *add("github:jason"), d.next)))
    bad("rotation-proof-event-under-tag", "bad_rotation", 2, "Nor is it one under the tag of a proof.", handed({**d.event(one, *add("github:jason"), d.next), "kez": "sigchain_rotation"}))
    bad("rotation-proof-is-claim", "bad_rotation", 2, "A claim of the old key by the new one is no proof.", handed(d.claim(d.next, subject=me)))
    bad("rotation-proof-version-2", "bad_rotation", 2, "Another version.", handed(d.proof(one, d.next, version=2)))
    bad("rotation-proof-without-chain", "bad_rotation", 2, "The proof does not say for which chain.", handed(d.sign("sigchain_rotation", {k: v for k, v in fresh["payload"].items() if k != "chain"}, d.next)))
    bad("rotation-to-the-same-key", "bad_rotation", 2, "The chain has this key already.", d.rotate(one, d.alice))
    bad("rotation-proof-as-event", "wrong_type", 2, "A proof is no event of the new key's chain, nor of this one.", one + [{**fresh, "kez": "sigchain_event"}])
    bad("old-key-after-rotation", "wrong_primary", 3, "The old key goes on after it handed over.", d.grow(turned, add("dns:example.org")))
    bad("new-key-before-rotation", "wrong_primary", 2, "The new key signs the event that hands over.", one + [d.event(one, "rotate", {"new_primary": d.id(d.next), "proof": fresh}, d.next)])
    bad("named-by-new-key", "wrong_primary", 1, "A chain is named by the key of its event 0, not by the one it has now.", after, d.id(d.next))
    bad("rotation-proof-reused", "bad_rotation", 4, "After a rotation back, the proof of the first one is used again.", back + [d.event(back, "rotate", {"new_primary": d.id(d.next), "proof": fresh})])

    # Which fault counts.
    bad("order-signature-before-sequence", "bad_signature", 2, "A bad signature at a wrong position.", [three[0], {**three[2], "signature": {**three[2]["signature"], "sig": three[1]["signature"]["sig"]}}])
    bad("order-sequence-before-prev", "bad_sequence", 2, "A wrong position and a wrong prev.", one + [d.event(one, *add("dns:example.org"), seq=5, prev=zero)])
    bad("order-sequence-before-primary", "bad_sequence", 2, "A wrong position and a wrong key.", one + [d.event(one, *add("dns:example.org"), d.mallory, seq=5)])
    bad("order-prev-before-primary", "wrong_prev", 2, "A wrong prev and a wrong key.", one + [d.event(one, *add("dns:example.org"), d.mallory, prev=zero)])
    bad("order-primary-before-rotation", "wrong_primary", 2, "A wrong key and a bad proof.", one + [d.event(one, "rotate", {"new_primary": d.id(d.next), "proof": d.proof([], d.next)}, d.mallory)])


def comparisons(d):
    here = " SPEC, Sigchains."

    def put(name, comment, known, shown, result, seq=None):
        d.put("sigchain-compare", "valid", name, comment + here, chain=d.id(d.alice), known=jsonl(known), shown=jsonl(shown), result=result, seq=seq)

    three = d.grow([], add("github:jason"), add("dns:example.org"), add("ap:alice@example.social"))
    fork = d.grow(three[:1], add("github:other"), add("github:more"), add("github:most"))
    put("same", "Event for event the same.", three, three, "same")
    put("longer", "What was known, and more.", three[:1], three, "longer")
    put("shorter", "Events are withheld.", three, three[:2], "shorter")
    put("forked", "The chains part at position 1.", three, fork[:3], "forked", 1)
    put("forked-and-longer", "A longer chain is still another chain.", three, fork, "forked", 1)
    put("forked-and-shorter", "A shorter one as well.", three, fork[:2], "forked", 1)
    put("forked-at-0", "They part at the first event.", three, [d.event([], *add("github:jason"), created_at=AT.format(9))], "forked", 0)
    put("signed-twice", "The last event was signed again, one second later.", three, three[:2] + [d.event(three[:2], *add("ap:alice@example.social"), created_at=AT.format(3))], "forked", 2)


# --- Encodings -------------------------------------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def frame(*blocks, descriptor=0x00, header=b"\x50", magic=b"\x28\xb5\x2f\xfd"):
    """A Zstandard frame: blocks are (type, size, bytes); window of 1 MiB unless `header` says otherwise."""
    out = magic + bytes([descriptor]) + header
    for number, (kind, size, data) in enumerate(blocks):
        last = number == len(blocks) - 1
        out += struct.pack("<I", size << 3 | kind << 1 | last)[:3] + data
    return out


def raw(data):
    return (0, len(data), data)


def rle(byte, size):
    return (1, size, byte)


def encodings(d):
    here = " SPEC, Encodings."
    claim = d.claim()
    text = rfc8785.dumps(claim)
    squeeze = lambda data, **options: zstandard.ZstdCompressor(**options).compress(data)
    packed = "kez:z1:" + b64(squeeze(text, level=3))
    chain = d.grow([], add("github:jason"), add("dns:example.org"), revoke("github:jason"))
    lines = jsonl(chain)
    bundled = "kez:zc1:" + b64(squeeze(lines.encode(), level=3))
    many = d.grow([], *[add(f"dns:{n}.example.org") for n in range(40)])

    def good(name, comment, form, source, envelopes=None):
        d.put("encoding", "valid", name, comment + here, text=source, form=form, envelopes=[rfc8785.dumps(e).decode() for e in envelopes or [claim]])

    def bad(name, what, comment, source):
        d.put("encoding", "invalid", name, comment + here, text=source, error="corrupt" if what else "not_found", what=what, **({"too_large": True} if name in bombs else {}))

    bombs = ("compact-64-kib-and-1", "bomb-of-one-gibibyte", "bomb-of-compressed-zeros", "bomb-with-a-broken-end", "bundle-bomb")
    fence = lambda inside, open="```kez", close="```": f"Hello, this is me.\n\n{open}\n{inside}\n{close}\n\nBye.\n"
    segments = lambda value, size=255: " ".join(f'"{value[i:i + size]}"' for i in range(0, len(value), size))

    good("json-canonical", "The canonical envelope.", "json", text.decode())
    good("json-pretty", "Pretty-printed, members in another order.", "json", json.dumps(dict(reversed(claim.items())), indent=2))
    good("json-byte-order-mark", "A byte order mark and white space around it are dropped.", "json", "\ufeff\r\n " + text.decode() + "\n\n")
    good("jsonl", "A chain, one envelope a line.", "jsonl", lines, chain)
    good("jsonl-crlf-no-final", "With CRLF and without one at the end.", "jsonl", lines.replace("\n", "\r\n")[:-2], chain)
    for level in (-5, 1, 3, 9, 19, 22):
        good(f"compact-level-{level}".replace("--", "-minus-"), f"Written by zstandard at level {level}.", "compact", "kez:z1:" + b64(squeeze(text, level=level)))
    good("compact-with-checksum", "A frame with a checksum.", "compact", "kez:z1:" + b64(squeeze(text, level=3, write_checksum=True)))
    good("compact-without-content-size", "A frame that does not say how long it is.", "compact", "kez:z1:" + b64(squeeze(text, level=3, write_content_size=False)))
    stream = zstandard.ZstdCompressor(level=19).compressobj()
    good("compact-streamed-level-19", "A streaming writer announces its whole window, 8 MiB here.", "compact", "kez:z1:" + b64(stream.compress(text) + stream.flush()))
    good("compact-raw-block", "A frame that compresses nothing.", "compact", "kez:z1:" + b64(frame(raw(text))))
    good("compact-content-size-in-two-bytes", "A frame that announces its size.", "compact", "kez:z1:" + b64(frame(raw(text), descriptor=0x40, header=b"\x50" + struct.pack("<H", len(text) - 256))))
    good("compact-many-blocks", "One block a byte, and an empty one at the end.", "compact", "kez:z1:" + b64(frame(*[raw(text[i:i + 1]) for i in range(len(text))], raw(b""))))
    good("compact-padded", "Padding is taken.", "compact", "kez:z1:" + base64.urlsafe_b64encode(squeeze(text + b" " * next(n for n in range(9) if len(squeeze(text + b" " * n)) % 3 == 1))).decode())
    good("compact-of-pretty-json", "What is inside goes through the strict reader and comes out canonical.", "compact", "kez:z1:" + b64(squeeze(json.dumps(claim, indent=4).encode())))
    good("compact-in-prose", "In a sentence.", "compact", f"My proof is {packed}, see there.")
    good("compact-in-html", "In an attribute.", "compact", f'<meta name="kez" content="{packed}">')
    good("compact-after-mention", "A prefix without digits is only talk about the form.", "compact", f"A text that begins with kez:z1: is one:\n{packed}\n")
    good("compact-64-kib", "Exactly 64 KiB of JSON: white space after the document.", "compact", "kez:z1:" + b64(squeeze(text + b" " * (65536 - len(text)))))
    good("compact-in-json", "Within JSON that is not ours.", "compact", json.dumps({"proof": packed}))
    good("bundle", "A chain.", "bundle", bundled, chain)
    good("bundle-level-19", "Another level.", "bundle", "kez:zc1:" + b64(squeeze(lines.encode(), level=19)), chain)
    good("bundle-of-one", "A chain of one event.", "bundle", "kez:zc1:" + b64(squeeze(jsonl(chain[:1]).encode())), chain[:1])
    good("bundle-padded-no-final-line-feed", "Padded base64, no line feed at the end.", "bundle", "kez:zc1:" + base64.urlsafe_b64encode(squeeze(lines[:-1].encode())).decode(), chain)
    good("bundle-of-40", "Forty events.", "bundle", "kez:zc1:" + b64(squeeze(jsonl(many).encode(), level=9)), many)
    good("markdown-json", "JSON in a fence.", "json", fence(text.decode()))
    good("markdown-pretty-json", "Pretty-printed JSON in a fence.", "json", fence(json.dumps(claim, indent=2)))
    good("markdown-compact", "The compact form in a fence.", "compact", fence(packed))
    good("markdown-compact-wrapped", "Wrapped lines, which only a fence may have.", "compact", fence("\n".join(packed[i:i + 64] for i in range(0, len(packed), 64))))
    good("markdown-bundle", "A bundle in a fence.", "bundle", fence(bundled), chain)
    good("markdown-jsonl", "Lines of JSON in a fence.", "jsonl", fence(lines.rstrip()), chain)
    good("markdown-tildes", "A fence of tildes.", "json", fence(text.decode(), "~~~~ kez", "~~~~~"))
    good("markdown-info-string-goes-on", "Words after the info string, and another case.", "json", fence(text.decode(), "``` KEZ proof", "```"))
    good("markdown-in-quotation", "In a quotation.", "json", "".join("> " + line + "\n" for line in fence(json.dumps(claim, indent=2)).splitlines()))
    good("markdown-not-closed", "A fence ends with the text at the latest.", "json", "```kez\n" + text.decode())
    good("markdown-crlf", "With CRLF.", "json", fence(text.decode()).replace("\n", "\r\n"))
    good("markdown-other-fence-first", "A fence of another kind before it.", "json", "```rust\nfn main() {}\n```\n" + fence(text.decode()))
    good("markdown-first-of-two", "The first one counts.", "json", fence(text.decode()) + fence(rfc8785.dumps(chain[0]).decode()))
    good("markdown-before-compact", "What stands first counts.", "json", fence(text.decode()) + bundled)
    good("compact-before-markdown", "What stands first counts.", "compact", packed + "\n" + fence(rfc8785.dumps(chain[0]).decode()))
    good("dns-answer", "TXT strings as dig +short prints them.", "compact", segments(packed) + "\n")
    good("dns-zone-line", "A line of a zone file.", "compact", f"_kez.example.org. 300 IN TXT {segments(packed)}\n")
    good("dns-short-segments", "Strings may be shorter than 255 bytes.", "compact", segments(packed, 40))
    good("dns-no-blanks", "Strings right next to each other.", "compact", segments(packed).replace('" "', '""'))
    good("dns-other-records", "Among other records.", "compact", f'"v=spf1 -all"\n{segments(packed)}\n"google-site-verification=abc"\n')
    good("dns-joined", "Joined already.", "compact", packed)
    assert len(packed) > 255

    for name, comment, source in (
        ("empty", "Nothing.", ""),
        ("prose", "A text that has nothing to do with it.", "Hello, I am Jason.\nFind me at example.org.\n"),
        ("json-of-others", "JSON without the member kez.", '{"hello":"world"}'),
        ("json-array", "A JSON array.", "[1,2,3]"),
        ("markdown-of-others", "A fence of another kind.", "```json\n{\"a\":1}\n```\n"),
        ("markdown-kezx", "Another info string.", "```kezx\n{}\n```\n"),
        ("markdown-two-backticks", "Two backticks are no fence.", "``kez\n{}\n``\n"),
        ("prefix-of-version-2", "Another version of the form is another form.", packed.replace("kez:z1:", "kez:z2:")),
        ("prefix-in-upper-case", "The prefix has a case.", packed.replace("kez:z1:", "KEZ:Z1:")),
        ("prefix-cut", "The prefix is not whole.", "kez:z1"),
    ):
        bad("not-found-" + name, None, comment, source)

    good_frame = squeeze(text, level=3)
    z1 = lambda data: "kez:z1:" + b64(data)
    for name, comment, source in (
        ("json-cut", "The end is missing.", text.decode()[:-20]),
        ("json-duplicate-member", "The strict reader refuses it.", text.decode().replace('{"kez":', '{"kez":"claim","kez":', 1)),
        ("json-extra-member", "Not the shape of an envelope.", compact({**claim, "x": 1})),
        ("json-trailing-text", "Something after the document.", text.decode() + " bye"),
        ("json-not-an-envelope", "A member kez is not enough.", '{"kez":"claim"}'),
    ):
        bad(name, "json", comment, source)
    bad("jsonl-damaged-line", "jsonl", "A line that is no envelope.", lines.replace('"op":"revoke"', '"op":revoke'))
    bad("jsonl-damaged-first-line", "jsonl", "The first line is no envelope.", lines.replace('"seq":0', '"seq":00', 1))
    bad("jsonl-blank-line", "jsonl", "A blank line between two events.", lines.replace("\n", "\n\n", 1))
    for name, comment, source in (
        ("compact-empty", "Nothing follows the prefix.", "My proof is kez:z1: and that is all."),
        ("compact-cut", "The end is missing.", packed[:-24]),
        ("compact-cut-by-one", "One character is missing.", packed[:-1]),
        ("compact-changed", "A character was changed in the middle.", packed[:60] + ("A" if packed[60] != "A" else "B") + packed[61:]),
        ("compact-one-digit", "One digit of base64 is no byte.", "kez:z1:A"),
        ("compact-standard-base64", "The standard alphabet.", "kez:z1:" + base64.b64encode(squeeze(text, level=1)).decode().replace("-", "+")),
        ("compact-padding-inside", "Padding before the end.", packed[:40] + "==" + packed[40:]),
        ("compact-three-signs-of-padding", "Too much padding.", packed + "==="),
        ("compact-bits-left-over", "Base64 with left-over bits that are not zero.", "kez:z1:KLUv_R"),
        ("compact-not-zstd", "JSON that was not compressed.", z1(text)),
        ("compact-gzip", "Another compression.", z1(b"\x1f\x8b\x08\x00" + text)),
        ("compact-no-block", "A frame header and nothing after it.", z1(good_frame[:6])),
        ("compact-two-frames", "Two frames, of which the first would do.", z1(good_frame + squeeze(b" "))),
        ("compact-trailing-byte", "A byte after the frame.", z1(good_frame + b"\0")),
        ("compact-skippable-frame-first", "A skippable frame is no document.", z1(b"\x50\x2a\x4d\x18\x02\0\0\0hi" + good_frame)),
        ("compact-checksum-wrong", "The checksum is wrong.", z1(flip_last(squeeze(text, level=3, write_checksum=True)))),
        ("compact-dictionary", "A frame that wants a dictionary.", z1(frame(raw(text), descriptor=0x01, header=b"\x50\x07"))),
        ("compact-reserved-block", "A block of the reserved type.", z1(frame((3, 1, b"x")))),
        ("compact-reserved-bit", "The reserved bit of the frame header.", z1(frame(raw(text), descriptor=0x08))),
        ("compact-content-size-wrong", "A frame that announces one byte more than it holds.", z1(frame(raw(text), descriptor=0x40, header=b"\x50" + struct.pack("<H", len(text) + 1 - 256)))),
        ("compact-not-utf-8", "Text that is not UTF-8.", z1(squeeze(b'{"kez":"\xff"}'))),
        ("compact-of-nothing", "An empty document.", z1(squeeze(b""))),
        ("compact-of-prose", "Not JSON.", z1(squeeze(b"hello"))),
        ("compact-of-chain", "A chain belongs into a bundle.", z1(squeeze(lines.encode()))),
        ("compact-of-compact", "Compressed twice.", z1(squeeze(packed.encode()))),
        ("compact-of-two-levels-of-17", "The strict reader counts levels here as well.", z1(squeeze(b'{"kez":' + b"[" * 17 + b"]" * 17 + b"}"))),
        ("dns-string-missing", "The second string of the record is missing.", f'"{packed[:255]}"'),
        ("dns-strings-on-two-lines", "Two records are not one.", f'"{packed[:255]}"\n"{packed[255:]}"'),
        ("compact-wrapped", "Wrapped lines outside a fence.", packed[:64] + "\n" + packed[64:]),
        ("compact-64-kib-and-1", "One byte more than 64 KiB.", z1(squeeze(text + b" " * (65537 - len(text))))),
        ("bomb-of-one-gibibyte", "A GiB of blanks in 33 KiB of blocks: reading stops after 64 KiB.", z1(frame(*[rle(b" ", 131072)] * 8192))),
        ("bomb-of-compressed-zeros", "256 MiB of zeros by a real writer.", z1(squeeze(bytes(1 << 28), level=3))),
        ("bomb-with-a-broken-end", "Reading stops at the limit, so it never sees the broken block at the end.", z1(frame(*[rle(b" ", 131072)] * 4, (3, 1, b"x")))),
        ("bomb-that-says-so", "A frame that announces 8 EiB.", z1(frame(rle(b" ", 131072), descriptor=0xE0, header=b"\xff" * 7 + b"\x7f"))),
        ("bomb-that-understates", "A frame that announces 1 byte and holds 128 KiB.", z1(frame(rle(b" ", 131072), descriptor=0x20, header=b"\x01"))),
        ("bomb-of-window", "A window of 3.75 TiB.", z1(frame(raw(text), header=b"\xff"))),
        ("window-over-8-mib", "A window above what every reader has to offer.", z1(frame(raw(text), header=b"\x69"))),
    ):
        bad(name, "compact", comment, source)
    zc1 = lambda data: "kez:zc1:" + b64(squeeze(data))
    for name, comment, source in (
        ("bundle-cut", "The end is missing.", bundled[:-24]),
        ("bundle-empty", "Nothing follows the prefix.", "kez:zc1:"),
        ("bundle-of-nothing", "No event.", zc1(b"")),
        ("bundle-of-line-feeds", "No event either.", zc1(b"\n\n")),
        ("bundle-damaged-line", "A line that is no envelope.", zc1(lines.replace('"op":"revoke"', '"op":revoke').encode())),
        ("bundle-of-pretty-json", "One envelope over many lines.", zc1(json.dumps(chain[0], indent=1).encode())),
        ("bundle-of-10001-lines", "More lines than a chain has events.", zc1(jsonl(chain[:1]).encode() * 10001)),
        ("bundle-bomb", "A GiB of line feeds.", "kez:zc1:" + b64(frame(*[rle(b"\n", 131072)] * 8192))),
    ):
        bad(name, "bundle", comment, source)
    bad("markdown-empty", "markdown", "An empty fence.", fence(""))
    bad("markdown-prose", "markdown", "A fence with prose.", fence("my proof goes here"))
    bad("markdown-json-cut", "json", "Damaged JSON in a fence.", fence(text.decode()[:-30]))
    bad("markdown-other-json", "json", "Other JSON in our fence is a damaged document.", fence('{"hello":1}'))
    bad("markdown-shorter-fence-inside", "json", "Three backticks do not end a fence of four, so they stand behind the document.", "````kez\n" + text.decode() + "\n```\n````\n")
    bad("markdown-compact-cut", "compact", "A damaged compact form in a fence.", fence(packed[:-30]))
    bad("markdown-broken-before-good", "json", "The first one counts, though a good one follows.", fence("{") + fence(text.decode()))


def flip_last(data):
    return data[:-1] + bytes([data[-1] ^ 1])


# --- Nostr -----------------------------------------------------------------------------------------------------------


def nostr(d):
    here = " SPEC, Nostr keys; BIP-340."
    order, field = d.g.SN, d.g.SP
    hash_ = d.sha256(b"what is signed")

    def put(side, name, comment, key, message, signature, **more):
        d.put("nostr", side, name, comment + here, public_key=key.hex(), hash=message.hex(), signature=signature.hex(), **more)

    def signed(side, name, comment, secret, message=hash_):
        key, signature = d.g.bip340(secret, message)
        put(side, name, comment, key, message, signature, secret=secret.to_bytes(32, "big").hex(), aux=bytes(32).hex(), npub=d.g.bech32("npub", key))
        return key, signature

    key, good = signed("valid", "plain", "A plain signature, the original of the changed ones.", d.nostr)
    secrets = [int.from_bytes(d.sha256(f"kez vectors nostr {n}".encode()), "big") for n in range(64)]
    parity = lambda secret: d.g.smul(secret, d.g.SG)[1] % 2
    signed("valid", "key-with-even-y", "The point of the secret has an even y.", next(s for s in secrets if not parity(s)))
    signed("valid", "key-with-odd-y", "The point of the secret has an odd y: the negated secret signs.", next(s for s in secrets if parity(s)))
    signed("valid", "secret-1", "The smallest secret.", 1)
    signed("valid", "secret-order-minus-1", "The greatest secret.", order - 1)
    signed("valid", "hash-of-zeros", "A hash of zeros.", d.nostr, bytes(32))
    signed("valid", "hash-of-ones", "A hash above the order of the group.", d.nostr, b"\xff" * 32)

    number = int.from_bytes(good[32:], "big")
    last = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    for name, comment, k, m, s in (
        ("another-hash", "A good signature beside another hash.", key, d.sha256(b"something else"), good),
        ("another-key", "A good signature beside another key.", d.g.bip340(secrets[0], b"")[0], hash_, good),
        ("s-plus-order", "s above the order: a second form of small s only, so here of another number.", key, hash_, good[:32] + ((number + order) % 2**256).to_bytes(32, "big")),
        ("s-negated", "s is replaced by n - s.", key, hash_, good[:32] + (order - number).to_bytes(32, "big")),
        ("s-zero", "s is zero.", key, hash_, good[:32] + bytes(32)),
        ("r-zero", "r is zero, which is no x coordinate.", key, hash_, bytes(32) + good[32:]),
        ("all-zero", "Nothing but zeros.", key, hash_, bytes(64)),
        ("r-changed", "A bit of r is flipped.", key, hash_, last(good[:32]) + good[32:]),
        ("s-changed", "A bit of s is flipped.", key, hash_, last(good)),
        ("halves-swapped", "s before r.", key, hash_, good[32:] + good[:32]),
        ("key-zero", "The key is zero.", bytes(32), hash_, good),
        ("key-field-size", "The key is the size of the field.", field.to_bytes(32, "big"), hash_, good),
        ("hashed-twice", "Signed over the hash of the hash.", key, hash_, d.g.bip340(d.nostr, d.sha256(hash_))[1]),
    ):
        put("invalid", name, comment, k, m, s)
