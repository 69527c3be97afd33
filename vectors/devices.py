"""Devices, members and authenticated data: the third part of generate.py, which runs it. SPEC, Devices and Conversation
frames."""

import base64
import struct

import rfc8785

DOMAIN = b"kez-chat/mls-device-cert/v1\0"
DAY = 86400
AT = 1779667200  # 2026-05-25T00:00:00Z
YEAR_9999 = 253402300799


def write(g):
    certificates(g)
    devices(g)
    revocations(g)
    members(g)
    authenticated_data(g)


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def id16(g, name):
    return g.sha256(b"kez vectors " + name.encode())[:16]


def certificate(g, seed, device_id, mls_key, not_before, not_after, version=1, domain=DOMAIN, primary=None, signed_key=None):
    """129 bytes; the last arguments make a bad one."""
    body = bytes([version]) + (primary or g.public(seed)) + device_id + struct.pack(">QQ", not_before, not_after)
    return body + seed.sign(domain + body + (signed_key or mls_key)).signature


def text(seconds):
    import datetime

    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def certificates(g):
    here = " SPEC, Device certificates."
    seed, mls = g.KEY, g.public(g.signer("alice phone mls"))
    device = id16(g, "alice phone id")

    def make(begin=AT, end=AT + 365 * DAY, **changes):
        return certificate(g, seed, device, mls, begin, end, **changes)

    def good(name, comment, begin=AT, end=AT + 365 * DAY):
        data = make(begin, end)
        assert len(data) == 129
        g.put("device-certificate", "valid", name, comment + here, certificate=data.hex(), mls_key=mls.hex(), seed=seed.encode().hex(), primary=g.ident(seed), device_id=device.hex(), not_before=text(begin), not_after=text(end), sha256=g.sha256(data).hex())

    def bad(name, error, comment, data, key=mls):
        g.put("device-certificate", "invalid", name, comment + here, certificate=data.hex(), mls_key=key.hex(), error=error)

    good("plain", "A certificate of a year.")
    good("one-second", "The shortest window.", AT, AT + 1)
    good("since-1970", "The first second.", 0, 1)
    good("until-9999", "The last second.", AT, YEAR_9999)

    data = make()
    flip = lambda at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    bad("empty", "length", "Nothing.", b"")
    bad("byte-missing", "length", "128 bytes.", data[:-1])
    bad("trailing-byte", "length", "130 bytes.", data + b"\0")
    bad("version-0", "version", "Version 0.", make(version=0))
    bad("version-2", "version", "Version 2, well signed.", make(version=2))
    bad("window-empty", "window", "It ends when it begins.", make(AT, AT))
    bad("window-reversed", "window", "It ends before it begins.", make(AT + 1, AT))
    bad("not-after-year-10000", "time", "It ends after the year 9999.", make(AT, YEAR_9999 + 1))
    bad("not-after-2-63", "time", "A time that is negative when read as signed.", make(AT, 1 << 63))
    bad("not-after-max", "time", "For ever.", make(AT, 2**64 - 1))
    bad("not-before-max", "time", "It begins beyond all time.", make(2**64 - 1, 2**64 - 1))
    for name, at in (("primary", 1), ("device-id", 33), ("not-before", 56), ("not-after", 64), ("r", 65), ("s", 128)):
        bad(f"changed-{name}", "bad_signature", f"A bit of {name} is flipped.", flip(at))
    bad("other-mls-key", "bad_signature", "Signed for another MLS key.", data, g.public(g.signer("alice tablet mls")))
    bad("mls-key-not-signed", "bad_signature", "Signed without the MLS key.", certificate(g, seed, device, b"", AT, AT + DAY, signed_key=b""))
    bad("other-signer", "bad_signature", "Signed by another key.", certificate(g, g.signer("mallory"), device, mls, AT, AT + DAY, primary=g.public(seed)))
    bad("without-domain", "bad_signature", "Signed without the text in front.", make(domain=b""))
    bad("domain-of-v2", "bad_signature", "Signed with another text in front.", make(domain=b"kez-chat/mls-device-cert/v2\0"))
    bad("domain-without-zero", "bad_signature", "Signed without the zero byte after the text.", make(domain=DOMAIN[:-1]))
    high = int.from_bytes(data[97:], "little") + g.L
    bad("s-plus-l", "bad_signature", "S is out of range: one rule for every signature.", data[:97] + high.to_bytes(32, "little"))
    identity = g.encode(g.IDENTITY)
    bad("small-order", "bad_signature", "Key and R are of small order, S is 0: good for every message, refused by our rule.", data[:1] + identity + data[33:65] + identity + bytes(32))


class Phone:
    """A device of alice and its document."""

    def __init__(self, g):
        self.g, self.seed = g, g.KEY
        self.id = id16(g, "alice phone id")
        self.auth, self.mls = g.signer("alice phone auth"), g.signer("alice phone mls")

    def certificate(self, begin=AT, end=AT + 365 * DAY, **changes):
        return certificate(self.g, changes.pop("seed", self.seed), changes.pop("id", self.id), self.g.public(changes.pop("mls", self.mls)), begin, end, **changes)

    def payload(self, **members):
        g = self.g
        made = {"type": "kez.chat.device", "version": 1, "primary": g.ident(self.seed), "created_at": text(AT), "server": "kez.lat", "device_id": self.id.hex(), "auth_key": g.ident(self.auth), "mls_key": g.ident(self.mls), "mls_certificate": b64(self.certificate()), "expires_at": text(AT + 365 * DAY), **members}
        return {name: value for name, value in made.items() if value is not ...}

    def envelope(self, tag="device", key=None, **members):
        return self.g.envelope(self.payload(**members), tag, key or self.seed)


def devices(g):
    here = " SPEC, Devices."
    phone = Phone(g)
    year = AT + 365 * DAY

    def good(name, comment, **members):
        envelope = phone.envelope(**members)
        p = envelope["payload"]
        data = base64.urlsafe_b64decode(p["mls_certificate"] + "=" * (-len(p["mls_certificate"]) % 4))
        g.put("device", "valid", name, comment + here, envelope=g.compact(envelope), server=p["server"], device_id=p["device_id"], auth_key=p["auth_key"], mls_key=p["mls_key"], primary=p["primary"], created_at=p["created_at"], expires_at=p["expires_at"], certificate_sha256=g.sha256(data).hex(), canonical=rfc8785.dumps(envelope).decode())

    def bad(name, error, comment, envelope):
        g.put("device", "invalid", name, comment + here, envelope=envelope if isinstance(envelope, str) else g.compact(envelope), error=error)

    def change(name, error, comment, **members):
        bad(name, error, comment, phone.envelope(**members))

    def until(end):
        return {"mls_certificate": b64(phone.certificate(end=end)), "expires_at": text(end)}

    def since(begin):
        return {"mls_certificate": b64(phone.certificate(begin=begin))}

    good("plain", "A device for the longest time.")
    good("one-second", "The shortest life.", **until(AT + 1))
    good("begins-a-day-before", "The certificate begins a day before the document.", **since(AT - DAY))
    good("begins-a-day-after", "The certificate begins a day after the document.", **since(AT + DAY))
    good("other-server", "The server is a later check.", server="example.org")
    good("unknown-members", "Unknown members are signed and kept.", note="kept")
    good("expires-at-with-zeros", "A fraction of zeros is the same instant.", expires_at=text(year).replace("Z", ".000Z"))

    change("server-missing", "malformed", "No server.", server=...)
    change("device-id-missing", "malformed", "No device id.", device_id=...)
    change("device-id-upper-case", "malformed", "Upper-case hex.", device_id=phone.id.hex().upper())
    change("device-id-short", "malformed", "31 digits.", device_id=phone.id.hex()[:-1])
    change("device-id-number", "malformed", "A number.", device_id=7)
    change("auth-key-missing", "malformed", "No auth_key.", auth_key=...)
    change("auth-key-without-prefix", "malformed", "A key without its prefix.", auth_key=g.public(phone.auth).hex())
    change("auth-key-nostr", "malformed", "A nostr key signs no calls.", auth_key="nostr:" + g.bech32("npub", g.public(phone.auth)))
    change("mls-key-missing", "malformed", "No mls_key.", mls_key=...)
    change("mls-key-null", "malformed", "No key.", mls_key=None)
    change("expires-at-missing", "malformed", "Every device ends.", expires_at=...)
    change("expires-at-number", "malformed", "Unix seconds.", expires_at=year)
    change("certificate-missing", "malformed", "No certificate.", mls_certificate=...)
    change("certificate-hex", "malformed", "Hex digits are base64url too, of other bytes.", mls_certificate=phone.certificate().hex())
    change("certificate-short", "malformed", "128 bytes.", mls_certificate=b64(phone.certificate()[:-1]))
    change("certificate-version-2", "malformed", "A certificate of version 2.", mls_certificate=b64(phone.certificate(version=2)))
    change("certificate-line-feed", "malformed", "A line feed in the base64url.", mls_certificate=b64(phone.certificate()) + "\n")
    standard = next(data for data in (phone.certificate(end=year - n) for n in range(99)) if {"-", "_"} & set(b64(data)))
    change("certificate-standard-base64", "malformed", "The standard alphabet.", mls_certificate=base64.b64encode(standard).decode())
    bad("tag-of-registration", "wrong_type", "The tag is another one's.", phone.envelope(tag="handle_registration"))
    change("type-of-revocation", "wrong_type", "The type is another one's.", type="kez.chat.device_revocation")
    change("version-2", "wrong_type", "Another version.", version=2)
    change("primary-of-somebody-else", "key_mismatch", "Somebody else's account.", primary=g.ident(g.signer("bob")))
    bad("signed-by-the-device", "bad_signature", "The device's own key signed, under the name of the primary.", {**phone.envelope(), "signature": {**phone.envelope()["signature"], "sig": g.sign(phone.payload(), phone.auth)}})
    bad("changed-server", "bad_signature", "Another server after signing.", g.compact(phone.envelope()).replace("kez.lat", "kez.let"))

    change("certificate-of-other-primary", "primary", "A certificate by somebody else's primary key.", mls_certificate=b64(phone.certificate(seed=g.signer("bob"))))
    change("certificate-of-other-device", "device_id", "The certificate of another device.", mls_certificate=b64(phone.certificate(id=id16(g, "alice tablet id"))))
    change("certificate-ends-earlier", "not_after", "The certificate ends a second earlier.", mls_certificate=b64(phone.certificate(end=year - 1)))
    change("certificate-ends-later", "not_after", "The certificate ends a second later.", expires_at=text(year - 1))
    change("expires-at-with-fraction", "not_after", "A certificate has whole seconds.", expires_at=text(year - 1).replace("Z", ".5Z"), mls_certificate=b64(phone.certificate(end=year - 1)))
    change("auth-key-is-primary", "key_reused", "The primary key signs the calls.", auth_key=g.ident(phone.seed))
    change("mls-key-is-primary", "key_reused", "The primary key is in the tree.", mls_key=g.ident(phone.seed), mls_certificate=b64(phone.certificate(mls=phone.seed)))
    change("auth-key-is-mls-key", "key_reused", "One key for both.", auth_key=g.ident(phone.mls))
    ended = {"mls_certificate": b64(phone.certificate(begin=AT - 5, end=AT)), "expires_at": text(AT)}
    change("expires-when-created", "expired", "It ends when it is signed.", **ended)
    change("expires-before-created", "expired", "It ended before it was signed.", **ended, created_at=text(AT).replace("Z", ".000000001Z"))
    change("lives-365-days-and-a-second", "too_long", "A second too long.", **until(year + 1))
    change("lives-too-long-by-fraction", "too_long", "Half a second too long.", created_at=text(AT - 1).replace("Z", ".5Z"))
    change("begins-too-early", "not_before", "The certificate begins more than a day before the document.", **since(AT - DAY - 1))
    change("begins-too-late", "not_before", "The certificate begins more than a day after the document.", **since(AT + DAY + 1))
    change("begins-too-early-by-fraction", "not_before", "A nanosecond too early.", **since(AT - DAY), created_at=text(AT).replace("Z", ".000000001Z"))
    change("certificate-for-other-mls-key", "certificate_signature", "The certificate was signed for another MLS key.", mls_key=g.ident(g.signer("alice tablet mls")))
    change("certificate-broken", "certificate_signature", "A bit of the certificate's signature is flipped.", mls_certificate=b64(g_flip_last(phone.certificate())))
    change("certificate-by-other-signer", "certificate_signature", "Somebody else signed the certificate under alice's name.", mls_certificate=b64(phone.certificate(seed=g.signer("mallory"), primary=g.public(phone.seed))))


def g_flip_last(data):
    return data[:-33] + bytes([data[-33] ^ 1]) + data[-32:]


def revocations(g):
    here = " SPEC, Devices."
    phone = Phone(g)

    def envelope(tag="device_revocation", **members):
        payload = {"type": "kez.chat.device_revocation", "version": 1, "primary": g.ident(phone.seed), "created_at": text(AT), "server": "kez.lat", "device_id": phone.id.hex(), **members}
        return g.envelope({k: v for k, v in payload.items() if v is not ...}, tag, phone.seed)

    def good(name, comment, **members):
        made = envelope(**members)
        p = made["payload"]
        g.put("device-revocation", "valid", name, comment + here, envelope=g.compact(made), server=p["server"], device_id=p["device_id"], primary=p["primary"], canonical=rfc8785.dumps(made).decode())

    def bad(name, error, comment, made):
        g.put("device-revocation", "invalid", name, comment + here, envelope=g.compact(made), error=error)

    good("plain", "A revocation.")
    good("unknown-members", "Unknown members are signed and kept.", reason="stolen")
    bad("server-missing", "malformed", "No server.", envelope(server=...))
    bad("device-id-missing", "malformed", "No device.", envelope(device_id=...))
    bad("device-id-upper-case", "malformed", "Upper-case hex.", envelope(device_id=phone.id.hex().upper()))
    bad("device-id-long", "malformed", "33 digits.", envelope(device_id=phone.id.hex() + "0"))
    bad("tag-of-device", "wrong_type", "The tag is another one's.", envelope(tag="device"))
    bad("type-of-device", "wrong_type", "The type is another one's.", envelope(type="kez.chat.device"))
    bad("primary-of-somebody-else", "key_mismatch", "Somebody else's device.", envelope(primary=g.ident(g.signer("bob"))))
    made = envelope()
    bad("other-device", "bad_signature", "Another device after signing.", {**made, "payload": {**made["payload"], "device_id": id16(g, "alice tablet id").hex()}})


def people(g, count):
    return [g.signer(f"member {number}") for number in range(count)]


def members_hash(g, keys):
    return g.sha256(b"".join(sorted(g.public(key) for key in keys)))


def members(g):
    here = " SPEC, Conversation frames."

    def good(name, comment, keys):
        g.put("members", "valid", name, comment + here, members=[g.ident(key) for key in keys], sorted=sorted(g.ident(key) for key in keys), hash=members_hash(g, keys).hex())

    def bad(name, error, comment, list):
        g.put("members", "invalid", name, comment + here, members=list, error=error)

    all = people(g, 65)
    good("one", "Only oneself.", all[:1])
    good("two", "Two people.", all[:2])
    good("two-in-other-order", "The same two.", all[1::-1])
    good("sixty-four", "As many as there may be.", all[:64])
    ids = [g.ident(key) for key in all]
    bad("empty", "empty", "Nobody.", [])
    bad("sixty-five", "too_many", "One too many.", ids)
    bad("sixty-five-with-one-twice", "too_many", "One too many, though not all different.", ids[:64] + ids[:1])
    bad("one-twice", "duplicate", "The same key side by side.", [ids[0], ids[0]])
    bad("one-twice-apart", "duplicate", "The same key at both ends.", ids[:5] + ids[:1])


def aad(g, kind, cid, mid, after=()):
    data = b"kez-chat/frame/v1\0" + bytes([{"app": 1, "commit": 2}[kind]]) + cid + mid
    return data + (members_hash(g, after) if kind == "commit" else b"")


def authenticated_data(g):
    here = " SPEC, Conversation frames."

    def good(name, comment, kind, cid, mid, keys=()):
        g.put("frame-aad", "valid", name, comment + here, kind=kind, cid=cid.hex(), mid=mid.hex(), members_after=[g.ident(key) for key in keys], authenticated_data=aad(g, kind, cid, mid, keys).hex())

    cid, mid = id16(g, "cid"), id16(g, "mid text")
    good("app", "Of an application message.", "app", cid, mid)
    good("app-zeros", "Ids of zeros.", "app", bytes(16), bytes(16))
    good("commit-of-one", "Of a commit that leaves one person.", "commit", cid, mid, people(g, 1))
    good("commit-of-three", "Of a commit, the members in any order.", "commit", cid, mid, people(g, 3)[::-1])
    good("commit-of-sixty-four", "Of a commit with as many as there may be.", "commit", cid, mid, people(g, 64))
