"""What devices say to each other and show to people: the part of generate.py that belongs to end-to-end encryption. SPEC,
End-to-end encryption. Ciphertexts are those of the cryptography package (OpenSSL), hashes are hashlib's."""

import base64
import hashlib
import struct

import rfc8785
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import policy

CHUNK = 1 << 20


def write(g):
    safety_numbers(g)
    epoch_codes(g)
    files(g)
    store_values(g)
    group_infos(g)
    ephemerals(g)
    payloads(g)
    policy.write(g)


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def flip(data, at):
    data = bytearray(data)
    data[at] ^= 1
    return bytes(data)


def digits(domain, subject):
    digest = hashlib.sha512(domain + subject).digest()
    for _ in range(5199):
        digest = hashlib.sha512(digest + subject).digest()
    return "".join("%05d" % (int.from_bytes(digest[5 * i : 5 * i + 5], "big") % 100000) for i in range(6))


def safety_numbers(g):
    def put(name, comment, one, other):
        number = "".join(sorted(digits(b"kez-chat/safety/v1\0", key) for key in (one, other)))
        g.put("safety-number", "valid", name, comment + " SPEC, Safety numbers.", one="ed25519:" + one.hex(), other="ed25519:" + other.hex(), number=number, qr="kez-safety:1:" + b64(one + other))

    alice, bob = (g.public(g.signer(name)) for name in ("alice", "bob"))
    put("two-people", "Two people.", alice, bob)
    put("other-order", "The same two in the other order: the same number, another code to scan.", bob, alice)
    put("leading-zeros", "A group with leading zeros keeps them.", *pair_with_zero(g))
    put("one-bit-apart", "Keys that differ in one bit.", alice, flip(alice, 31))


def pair_with_zero(g):
    alice = g.public(g.signer("alice"))
    for n in range(99):
        other = g.public(g.signer(f"zero {n}"))
        if any(digits(b"kez-chat/safety/v1\0", other)[i] == "0" for i in range(0, 30, 5)):
            return alice, other


def epoch_codes(g):
    for name, comment, value in (("plain", "An authenticator.", g.sha256(b"kez vectors epoch")), ("zeros", "All zero.", bytes(32))):
        g.put("epoch-code", "valid", name, comment + " SPEC, Safety numbers.", epoch_authenticator=value.hex(), code=digits(b"kez-chat/epoch-code/v1\0", value))


def pattern(size):
    return bytes(i % 251 for i in range(251)) * (size // 251) + bytes(i % 251 for i in range(size % 251))


def seal_file(key, plain, last=1, aad=b"kez-chat/file/v1\0"):
    chunks = [plain[i : i + CHUNK] for i in range(0, len(plain), CHUNK)] or [b""]
    nonce = lambda i: bytes(7) + struct.pack(">IB", i, last if i == len(chunks) - 1 else 0)
    return b"".join(AESGCM(key).encrypt(nonce(i), chunk, aad) for i, chunk in enumerate(chunks))


def files(g):
    here = " SPEC, Files."
    key = g.sha256(b"kez vectors file key")

    def good(name, comment, size):
        sealed = seal_file(key, pattern(size))
        more = {"sealed": sealed.hex()} if size < 100 else {}
        g.put("file", "valid", name, comment + here, key=b64(key), size=size, sealed_bytes=len(sealed), sha256=g.sha256(sealed).hex(), **more)

    def bad(name, error, comment, sealed, size=20, sha256=None, key=key):
        g.put("file", "invalid", name, comment + here, key=b64(key), size=size, sha256=(sha256 or g.sha256(sealed)).hex(), sealed=sealed.hex(), error=error)

    good("empty", "Nothing: one chunk that holds nothing.", 0)
    good("one-byte", "One byte.", 1)
    good("short", "Twenty bytes.", 20)
    good("one-chunk-and-a-byte", "A chunk and a byte.", CHUNK + 1)

    plain = pattern(20)
    sealed = seal_file(key, plain)
    bad("not-marked-as-last", "not_opened", "The last chunk is not marked as the last.", seal_file(key, plain, last=0))
    bad("without-the-text", "not_opened", "Sealed without the text that is bound to each chunk.", seal_file(key, plain, aad=b""))
    bad("other-key", "not_opened", "Another file's key.", sealed, key=g.sha256(b"another"))
    bad("bit-flipped", "not_opened", "A bit is flipped.", flip(sealed, 3))
    bad("tag-flipped", "not_opened", "A bit of the tag is flipped.", flip(sealed, -1))
    bad("byte-missing", "length", "A byte is missing at the end.", sealed[:-1])
    bad("byte-too-many", "length", "A byte too many.", sealed + b"\0")
    bad("size-too-small", "length", "The message names fewer bytes.", sealed, size=19)
    bad("other-file", "wrong_hash", "A good file under this key, and not the one that was named.", sealed, sha256=g.sha256(b"another"))
    bad("too-large", "too_large", "More than a server takes.", sealed, size=100 * (CHUNK - 16) + 1)


def store_values(g):
    here = " SPEC, Sealed values."
    seed = bytes([0x42]) * 32
    key = HKDF(algorithm=SHA256(), length=32, salt=b"kez-chat/v1", info=b"kez-chat/self-store/v1").derive(seed)
    nonce = g.sha256(b"kez vectors store nonce")[:12]

    def seal(name, version, plain):
        return nonce + AESGCM(key).encrypt(nonce, plain, b"kez-chat/self-store/v1\0" + name.encode() + b"\0" + struct.pack(">Q", version))

    def good(case, comment, name, version, plain):
        g.put("store-value", "valid", case, comment + here, seed=seed.hex(), store_key=key.hex(), name=name, version=version, plain=plain.hex(), sealed=seal(name, version, plain).hex())

    def bad(case, comment, sealed, name="settings", version=4):
        g.put("store-value", "invalid", case, comment + here, store_key=key.hex(), name=name, version=version, sealed=sealed.hex(), error="not_opened")

    good("plain", "A value.", "settings", 4, b"hello")
    good("empty", "Nothing, in the first version.", "settings", 1, b"")
    rooms = rfc8785.dumps({"v": 1, "rooms": {"76b561582f4b3a3292dc680b823dfb0a": b64(g.sha256(b"kez vectors gi_key"))}})
    good("rooms", "The keys of rooms.", "rooms-7", 2, rooms)
    sealed = seal("settings", 4, b"hello")
    bad("older-version", "The server shows an old value as the newest.", sealed, version=5)
    bad("other-name", "The server shows another name's value.", sealed, name="settings-2")
    bad("bit-flipped", "A bit is flipped.", flip(sealed, 20))
    bad("nonce-flipped", "A bit of the nonce is flipped.", flip(sealed, 0))
    bad("cut", "A byte is missing.", sealed[:-1])
    bad("shorter-than-a-nonce", "11 bytes.", sealed[:11])


def group_infos(g):
    here = " SPEC, Group information."
    key, cid, nonce = g.sha256(b"kez vectors gi_key"), g.sha256(b"kez vectors town")[:16], g.sha256(b"kez vectors gi nonce")[:12]

    def seal(epoch):
        return nonce + AESGCM(key).encrypt(nonce, b"any bytes", b"kez-chat/group-info/v1\0" + cid + struct.pack(">Q", epoch))

    members = {"gi_key": key.hex(), "cid": cid.hex()}
    g.put("group-info", "valid", "plain", "Of epoch 5." + here, **members, epoch=5, info=b"any bytes".hex(), sealed=seal(5).hex())
    for name, comment, epoch, sealed in (("older-epoch", "That of the epoch before.", 6, seal(5)), ("bit-flipped", "A bit is flipped.", 5, flip(seal(5), 15)), ("short", "Shorter than a nonce.", 5, seal(5)[:11])):
        g.put("group-info", "invalid", name, comment + here, **members, epoch=epoch, sealed=sealed.hex(), error="not_opened")


def ephemerals(g):
    here = " SPEC, Ephemeral events."
    key, cid, nonce = g.sha256(b"kez vectors exported"), g.sha256(b"kez vectors town")[:16], g.sha256(b"kez vectors event nonce")[:12]
    mls, mallory = g.signer("alice phone mls"), g.signer("mallory")

    def seal(leaf=2, sent_at=1779678000000, kind=1, signer=mls, epoch=5, version=1, label=b"MLS 1.0 kez-chat/ephemeral/v1", signed_epoch=None):
        body = struct.pack(">IQB", leaf, sent_at, kind)
        content = cid + struct.pack(">Q", epoch if signed_epoch is None else signed_epoch) + body
        signature = signer.sign(bytes([len(label)]) + label + bytes([len(content)]) + content).signature
        context = b"kez-chat/ephemeral/v1\0" + cid + struct.pack(">Q", epoch)
        return bytes([version]) + struct.pack(">Q", epoch) + nonce + AESGCM(key).encrypt(nonce, body + signature, context)

    members = {"key": key.hex(), "cid": cid.hex(), "epoch": 5, "roster": [{"leaf": 2, "mls_key": g.public(mls).hex()}]}
    for kind, name in enumerate(("typing", "not-typing", "present", "away"), 1):
        g.put("ephemeral", "valid", name, f"Kind {kind}." + here, **members, leaf=2, sent_at_ms=1779678000000, kind=name.replace("-", "_"), mls_seed=mls.encode().hex(), nonce=nonce.hex(), sealed=seal(kind=kind).hex())
    for name, error, comment, sealed in (
        ("other-signer", "sender", "A member in another's name.", seal(signer=mallory)),
        ("nobodys-leaf", "sender", "A leaf that nobody has.", seal(leaf=3)),
        ("without-mls-label", "sender", "Signed without MLS's own words in front.", seal(label=b"kez-chat/ephemeral/v1")),
        ("signed-for-other-epoch", "sender", "Signed in the epoch before and sealed again.", seal(signed_epoch=4)),
        ("other-epoch", "other_epoch", "Of the epoch before.", seal(epoch=4)),
        ("kind-0", "kind", "A kind that there is not.", seal(kind=0)),
        ("kind-5", "kind", "A kind of a newer version.", seal(kind=5)),
        ("version-2", "form", "Another version.", seal(version=2)),
        ("cut", "form", "A byte is missing.", seal()[:-1]),
        ("longer", "form", "A byte too many.", seal() + b"\0"),
        ("bit-flipped", "not_opened", "A bit is flipped.", flip(seal(), 40)),
        ("epoch-flipped", "other_epoch", "A bit of the epoch is flipped.", flip(seal(), 8)),
    ):
        g.put("ephemeral", "invalid", name, comment + here, **members, sealed=sealed.hex(), error=error)


def payloads(g):
    here = " SPEC, Payloads."
    mid = g.sha256(b"kez vectors message")[:16].hex()
    base = {"v": 1, "sent_at": 1779678000000}
    chain = {"seq": 3, "head": "sha256:" + g.sha256(b"kez vectors chain").hex()}

    def pad(text, buckets=(256, 1024, 4096, 16384, 61440)):
        size = next(size for size in buckets if len(text) + 4 <= size)
        return (struct.pack(">I", len(text)) + text).ljust(size, b"\0")

    def good(name, comment, /, **members):
        text = rfc8785.dumps({**base, **members})
        padded = pad(text)
        g.put("payload", "valid", name, comment + here, t=members["t"], json=text.decode(), padded_bytes=len(padded), padded_sha256=g.sha256(padded).hex())

    def bad(name, error, comment, padded):
        g.put("payload", "invalid", name, comment + here, padded=padded.hex(), error=error)

    file = {"blob": g.sha256(b"kez vectors blob").hex(), "key": b64(g.sha256(b"kez vectors file key")), "size": 5, "name": "a.txt", "mime": "text/plain"}
    good("text", "A text.", t="text", body="hello")
    good("text-with-chain", "With the head of the sender's sigchain.", t="text", body="hello", chain=chain)
    good("text-reply", "An answer.", t="text", body="yes", reply_to={"mid": mid, "quote": "are you there?"})
    good("text-fills-256", "As much as fits in 256 bytes.", t="text", body="x" * (252 - len(rfc8785.dumps({**base, "t": "text", "body": ""}))))
    good("text-needs-1024", "A byte more.", t="text", body="x" * (253 - len(rfc8785.dumps({**base, "t": "text", "body": ""}))))
    good("text-longest", "16 KiB of text.", t="text", body="x" * 16384)
    good("reaction", "A reaction.", t="reaction", target=mid, emoji="\U0001f44d", on=True)
    good("edit", "Another text.", t="edit", target=mid, body="better")
    good("delete", "Taken back.", t="delete", target=mid)
    good("receipt", "Messages that arrived.", t="receipt", mids=[mid])
    good("read", "Read so far.", t="read", up_to=42)
    good("attachment", "A file.", t="attachment", files=[file], body="look")
    good("group", "A group's name.", t="group", name="Town")
    good("device", "A device's name.", t="device", device_id=mid, label="phone")
    good("leave", "A wish to leave.", t="leave")
    good("newer", "Of a newer version: kept as it came.", t="poll", options=["a", "b"])

    text = rfc8785.dumps({**base, "t": "text", "body": "hello"})
    bad("other-length", "length", "255 bytes.", pad(text)[:-1])
    bad("length-beyond", "length", "A length beyond the bytes.", struct.pack(">I", 253) + pad(text)[4:])
    bad("padding-not-zero", "padding", "A byte after the JSON.", flip(pad(text), -1))
    bad("not-json", "form", "No JSON.", pad(b"hello"))
    bad("duplicate-member", "form", "A member twice.", pad(text[:-1] + b',"body":"x"}'))
    bad("version-2", "form", "Another version.", pad(text.replace(b'"v":1', b'"v":2')))
    bad("no-t", "form", "No t.", pad(text.replace(b'"t"', b'"u"')))
    bad("member-missing", "members", "A text without its text.", pad(text.replace(b'"body"', b'"bodi"')))
    bad("target-not-an-id", "members", "A target that is no id.", pad(rfc8785.dumps({**base, "t": "delete", "target": "abc"})))
    bad("text-too-long", "members", "A text of 16 KiB and a byte.", pad(rfc8785.dumps({**base, "t": "text", "body": "x" * 16385})))
