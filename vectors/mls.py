"""MLS messages: the fourth part of generate.py, which runs it. SPEC, Conversation frames and Key packages.

The good messages are OpenMLS's (mls/openmls.json, see ORIGINS.md). The others are made from them: taken apart by the
small codec below (RFC 9420), changed, put together and, where a signature counts, signed again with PyNaCl.
"""

import base64
import json
import struct

import devices
from devices import aad, b64, certificate, id16

DAY = 86400
KEZ_ROOM = 0xF4B5


def write(g):
    m = Material(g)
    messages(m)
    frames(m)
    key_packages(m)


# --- RFC 9420 section 2.1 --------------------------------------------------------------------------------------------


def vec(data):
    size = len(data)
    prefix = bytes([size]) if size < 64 else struct.pack(">H", size | 0x4000) if size < 16384 else struct.pack(">I", size | 0x80000000)
    return prefix + data


def numbers(values):
    return vec(b"".join(struct.pack(">H", value) for value in values))


def extensions(pairs):
    return vec(b"".join(struct.pack(">H", kind) + vec(data) for kind, data in pairs))


class Cursor:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        assert count <= len(self.data)
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def vec(self):
        first = self.data[0]
        size = self.number(1 << (first >> 6))
        return self.take(size & {0: 0x3F, 1: 0x3FFF, 2: 0x3FFFFFFF}[first >> 6])

    def numbers(self):
        data = Cursor(self.vec())
        return data.rest(lambda: data.number(2))

    def extensions(self):
        data = Cursor(self.vec())
        return data.rest(lambda: (data.number(2), data.vec()))

    def rest(self, read):
        found = []
        while self.data:
            found.append(read())
        return found


class Package:
    """A key package in pieces."""

    def __init__(self, message):
        c = Cursor(message)
        self.head = c.take(4)
        self.version, self.suite, self.init_key = c.number(2), c.number(2), c.vec()
        self.encryption_key, self.signature_key, self.credential_type, self.identity = c.vec(), c.vec(), c.number(2), c.vec()
        self.versions, self.suites, self.understood, self.proposals, self.credentials = (c.numbers() for _ in range(5))
        self.source = c.number(1)
        self.not_before, self.not_after = c.number(8), c.number(8)
        self.source_data = None
        self.leaf_extensions, self.leaf_signature = c.extensions(), c.vec()
        self.extensions, self.signature = c.extensions(), c.vec()
        assert not c.data

    def leaf(self):
        lifetime = struct.pack(">QQ", self.not_before, self.not_after) if self.source_data is None else self.source_data
        capabilities = b"".join(map(numbers, (self.versions, self.suites, self.understood, self.proposals, self.credentials)))
        return vec(self.encryption_key) + vec(self.signature_key) + struct.pack(">H", self.credential_type) + vec(self.identity) + capabilities + bytes([self.source]) + lifetime + extensions(self.leaf_extensions)

    def package(self):
        return struct.pack(">HH", self.version, self.suite) + vec(self.init_key) + self.leaf() + vec(self.leaf_signature) + extensions(self.extensions)

    def bytes(self):
        return self.head + self.package() + vec(self.signature)

    def sign(self, key, leaf_label="LeafNodeTBS", label="KeyPackageTBS", prefix="MLS 1.0 "):
        with_label = lambda name, content: key.sign(vec((prefix + name).encode()) + vec(content)).signature
        self.leaf_signature = with_label(leaf_label, self.leaf())
        self.signature = with_label(label, self.package())
        return self


class Material:
    def __init__(self, g):
        self.g = g
        self.data = json.loads((g.ROOT / "mls/openmls.json").read_text("ascii"))
        self.now, self.cid = self.data["now"], bytes.fromhex(self.data["cid"])
        self.alice, self.bob = g.signer("alice"), g.signer("bob")
        self.mls = g.signer("bob phone mls")
        self.certificate = self.certify()

    def __getitem__(self, name):
        text = self.data[name]
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    def certify(self, primary=None, name="bob phone", begin=0, end=0):
        g, hour = self.g, 3600
        return certificate(g, primary or self.bob, id16(g, name + " id"), g.public(g.signer(name + " mls")), self.now - hour + begin, self.now + 365 * DAY - hour + end)

    def mid(self, name):
        return id16(self.g, "mid " + name)

    def package(self, key=None, sign=True, head=None, **changes):
        made = Package(self["key_package_one_time"])
        for name, value in changes.items():
            assert hasattr(made, name)
            setattr(made, name, value)
        made.head = head or made.head
        return (made.sign(key or self.mls) if sign else made).bytes()


# --- Frames in pieces ------------------------------------------------------------------------------------------------


def private(group, epoch, content, data, sender_data=b"s" * 28, ciphertext=b"c" * 40, version=1, wire=2):
    return struct.pack(">HH", version, wire) + vec(group) + struct.pack(">QB", epoch, content) + vec(data) + vec(sender_data) + vec(ciphertext)


def public(group, epoch, sender, data, content, body, auth, version=1):
    return struct.pack(">HH", version, 1) + vec(group) + struct.pack(">Q", epoch) + sender + vec(data) + bytes([content]) + body + auth


MEMBER, EXTERNAL, PROPOSER, JOINER = b"\x01\0\0\0\0", b"\x02\0\0\0\x07", b"\x03", b"\x04"


def take_public(message):
    """group, epoch, sender, authenticated data, content type, and the rest as it stands."""
    c = Cursor(message)
    assert c.take(4) == b"\0\x01\0\x01"
    group, epoch, kind = c.vec(), c.number(8), c.take(1)
    sender = kind + (c.take(4) if kind in b"\x01\x02" else b"")
    return group, epoch, sender, c.vec(), c.number(1), c.data


def take_private(message):
    c = Cursor(message)
    assert c.take(4) == b"\0\x01\0\x02"
    parts = [c.vec(), c.number(8), c.number(1), c.vec(), c.vec(), c.vec()]
    assert not c.data
    return parts


def messages(m):
    """The reader alone."""
    here = " RFC 9420."
    contents = {1: "application", 2: "proposal", 3: "commit"}
    senders = {1: "member", 2: "external", 3: "new_member_proposal", 4: "new_member_commit"}

    def good(name, comment, message):
        c = Cursor(message)
        assert c.number(2) == 1
        wire = c.number(2)
        if wire == 1:
            group, epoch, sender, data, content, _ = take_public(message)
            more = dict(wire_format="public", group_id=group.hex(), epoch=epoch, sender=senders[sender[0]], index=int.from_bytes(sender[1:], "big") if sender[1:] else None, content_type=contents[content], authenticated_data=data.hex())
        elif wire == 2:
            group, epoch, content, data, *_ = take_private(message)
            more = dict(wire_format="private", group_id=group.hex(), epoch=epoch, content_type=contents[content], authenticated_data=data.hex())
        elif wire == 3:
            more = dict(wire_format="welcome", cipher_suite=c.number(2))
        elif wire == 4:
            assert c.number(2) == 1
            more = dict(wire_format="group_info", cipher_suite=c.number(2), group_id=c.vec().hex(), epoch=c.number(8))
        else:
            p = Package(message)
            more = dict(wire_format="key_package", cipher_suite=p.suite, init_key=p.init_key.hex(), signature_key=p.signature_key.hex(), identity=p.identity.hex(), not_before=p.not_before, not_after=p.not_after)
        m.g.put("mls/message", "valid", name, comment + here, message=b64(message), **more)

    def bad(name, error, comment, message):
        m.g.put("mls/message", "invalid", name, comment + here, message=b64(message), error=error)

    for name in sorted(m.data):
        if name not in ("now", "cid"):
            good(name.replace("_", "-"), "As OpenMLS makes it.", m[name])
    group, zero = m.cid, vec(b"")
    good("private-empty", "A private message with nothing in its fields.", private(b"", 0, 1, b"", b"", b""))
    good("private-epoch-max", "The last epoch.", private(group, 2**64 - 1, 1, b""))
    for size in (63, 64, 16383, 16384):
        good(f"private-of-{size}", "A length where the number of its bytes changes.", private(group, 1, 1, b"", ciphertext=bytes(size)))
    good("public-application", "An application message in the clear, as nobody makes it.", public(group, 1, MEMBER, b"", 1, vec(b"text"), vec(b"s") + vec(b"tag")))
    good("public-external", "A proposal by an external sender.", public(group, 1, EXTERNAL, b"", 2, b"\0\x03\0\0\0\x02", vec(b"s")))
    good("public-re-init", "A proposal to begin anew.", public(group, 1, MEMBER, b"", 2, b"\0\x05" + vec(b"new") + b"\0\x01\0\x01" + zero, vec(b"s") + vec(b"tag")))
    good("public-external-init", "A proposal of an external key.", public(group, 1, MEMBER, b"", 2, b"\0\x06" + vec(b"kem"), vec(b"s") + vec(b"tag")))
    good("public-psk-resumption", "A pre-shared key of an earlier epoch.", public(group, 1, MEMBER, b"", 2, b"\0\x04\x02\x01" + vec(group) + bytes(8) + vec(b"nonce"), vec(b"s") + vec(b"tag")))
    good("public-commit-without-path", "A commit without an update path.", public(group, 1, MEMBER, b"", 3, zero + b"\0", vec(b"s") + vec(b"c") + vec(b"tag")))

    whole = m["commit_external"]
    bad("empty", "truncated", "Nothing.", b"")
    bad("version-0", "version", "Version 0.", b"\0\0" + whole[2:])
    bad("version-2", "version", "A later version.", b"\0\x02" + whole[2:])
    bad("wire-format-0", "wire_format", "The reserved wire format.", b"\0\x01\0\0" + whole[4:])
    bad("wire-format-6", "wire_format", "No wire format.", b"\0\x01\0\x06" + whole[4:])
    for name in ("application", "commit_external", "public_commit_member", "welcome", "group_info", "key_package_one_time"):
        bad(f"{name.replace('_', '-')}-cut", "truncated", "The last byte is missing.", m[name][:-1])
        bad(f"{name.replace('_', '-')}-trailing-byte", "trailing_bytes", "One byte too many.", m[name] + b"\0")
    bad("two-messages", "trailing_bytes", "Two messages.", m["application"] * 2)
    long = private(group, 1, 1, b"")[:4]
    bad("length-in-2-bytes", "length_prefix", "16 in two bytes.", long + b"\x40\x10" + m["application"][5:])
    bad("length-in-4-bytes", "length_prefix", "16 in four bytes.", long + b"\x80\0\0\x10" + m["application"][5:])
    bad("length-63-in-2-bytes", "length_prefix", "The greatest length of one byte, in two.", long + b"\x40\x3f" + bytes(99))
    bad("length-16383-in-4-bytes", "length_prefix", "The greatest length of two bytes, in four.", long + b"\x80\0\x3f\xff" + bytes(17000))
    bad("length-of-8-bytes", "length_prefix", "The form of eight bytes, which MLS does not have.", long + b"\xc0" + bytes(7) + m["application"][4:])
    bad("length-beyond-input", "truncated", "A length of a GiB.", long + b"\xbf\xff\xff\xff" + m["application"][5:])
    bad("length-one-too-many", "truncated", "A length one beyond the end.", m["welcome"][:6] + vec(m["welcome"][6:] + b"x")[:-1])
    bad("content-type-0", "unknown_value", "The reserved content type.", private(group, 1, 0, b""))
    bad("content-type-4", "unknown_value", "No content type.", private(group, 1, 4, b""))
    bad("sender-0", "unknown_value", "The reserved sender type.", public(group, 1, b"\0", b"", 1, zero, zero))
    bad("sender-5", "unknown_value", "No sender type.", public(group, 1, b"\x05", b"", 1, zero, zero))
    bad("path-flag-2", "unknown_value", "Neither with a path nor without.", public(group, 1, JOINER, b"", 3, zero + b"\x02", zero * 2))
    bad("proposal-of-unknown-type", "unknown_value", "A proposal that RFC 9420 does not define has no length.", public(group, 1, MEMBER, b"", 2, b"\xf0\0" + zero, zero * 2))
    bad("psk-of-unknown-type", "unknown_value", "Neither external nor of an epoch.", public(group, 1, MEMBER, b"", 2, b"\0\x04\x03" + zero * 2, zero * 2))
    bad("membership-tag-missing", "truncated", "A member's message without its tag.", public(group, 1, MEMBER, b"", 1, vec(b"text"), vec(b"s")))
    bad("membership-tag-of-joiner", "trailing_bytes", "A joiner has no membership tag.", whole + vec(b"tag"))
    bad("confirmation-tag-missing", "truncated", "A commit without its tag.", public(group, 1, JOINER, b"", 3, zero + b"\0", vec(b"s")))
    bad("group-info-of-version-2", "version", "A group of a later version.", m["group_info"][:4] + b"\0\x02" + m["group_info"][6:])


def frames(m):
    here = " SPEC, Conversation frames."
    g, cid, after = m.g, m.cid, [m.alice, m.bob]

    def good(name, comment, kind, message, mid, epoch, is_external=False, after=after):
        g.put("mls/frame", "valid", name, comment + here, kind=kind, message=b64(message), cid=cid.hex(), mid=mid.hex(), members_after=[g.ident(key) for key in after], epoch=epoch, is_external=is_external)

    def bad(name, error, comment, kind, message, mid, cid=cid, after=after):
        g.put("mls/frame", "invalid", name, comment + here, kind=kind, message=b64(message), cid=cid.hex(), mid=mid.hex(), members_after=[g.ident(key) for key in after], error=error)

    text, create, update, join = (m.mid(name) for name in ("text", "create", "update", "join"))
    good("application", "Something said.", "app", m["application"], text, 1)
    good("commit-that-creates", "The first commit of a conversation.", "commit", m["commit_add"], create, 0)
    good("commit-that-renews", "A member's new keys.", "commit", m["commit_update"], update, 1)
    good("commit-external", "A device joins by itself.", "commit", m["commit_external"], join, 1, True)
    good("commit-members-in-other-order", "The order of the list does not matter.", "commit", m["commit_update"], update, 1, after=after[::-1])
    good("application-of-last-epoch", "An epoch beyond what JSON keeps exact: it is compared, not printed.", "app", private(cid, 2**63, 1, aad(g, "app", cid, text)), text, 2**63)

    app = m["application"]
    parts = take_private(app)
    other_mid, other_cid = m.mid("other"), id16(g, "clear cid")
    bad("application-trailing-byte", "trailing_bytes", "One byte too many.", "app", app + b"\0", text)
    bad("application-cut", "truncated", "The last byte is missing.", "app", app[:-1], text)
    bad("application-empty", "truncated", "Nothing.", "app", b"", text)
    bad("application-version-2", "version", "A later version.", "app", b"\0\x02" + app[2:], text)
    bad("application-length-in-2-bytes", "length_prefix", "A length that is not in its shortest form.", "app", app[:4] + b"\x40" + app[4:], text)
    bad("application-of-other-group", "group", "Another group; the authenticated data are those of this conversation.", "app", private(other_cid, *parts[1:]), text)
    bad("application-of-group-cut", "group", "The group's id lacks its last byte.", "app", private(cid[:-1], *parts[1:]), text)
    bad("application-of-group-longer", "group", "The group's id has a byte more.", "app", private(cid + b"\0", *parts[1:]), text)
    bad("application-sent-to-other-conversation", "group", "A good frame in another conversation.", "app", app, text, cid=other_cid)
    bad("application-under-other-mid", "authenticated_data", "A good frame under another message id.", "app", app, other_mid)
    for name, comment, data in (
        ("empty", "No authenticated data.", b""),
        ("cut", "The last byte is missing.", parts[3][:-1]),
        ("longer", "One byte too many.", parts[3] + b"\0"),
        ("of-commit", "Those of a commit.", aad(g, "commit", cid, text, after)),
        ("kind-2", "The kind of a commit.", parts[3][:18] + b"\x02" + parts[3][19:]),
        ("kind-missing", "No kind.", parts[3][:18] + parts[3][19:]),
        ("domain-v2", "Another text in front.", parts[3].replace(b"/v1", b"/v2")),
        ("ids-swapped", "Message before conversation.", parts[3][:19] + text + cid),
        ("in-hex", "Ids in hex.", parts[3][:19] + cid.hex().encode() + text.hex().encode()),
    ):
        bad(f"application-data-{name}", "authenticated_data", comment, "app", private(cid, 1, 1, data), text)
    bad("application-as-commit", "content_type", "A commit where something said is expected.", "app", m["commit_update"], update)
    bad("application-as-proposal", "content_type", "A proposal on its own.", "app", m["proposal"], m.mid("proposal"))
    bad("application-public-by-member", "not_private", "In the clear.", "app", public(cid, 1, MEMBER, parts[3], 1, vec(b"text"), vec(b"s") + vec(b"tag")), text)
    bad("application-public-by-joiner", "not_private", "In the clear, by somebody outside.", "app", public(cid, 1, JOINER, parts[3], 1, vec(b"text"), vec(b"s")), text)
    for name in ("welcome", "group_info", "key_package_one_time"):
        bad(f"application-is-{name.replace('_', '-')}", "not_private", "Another MLS message.", "app", m[name], text)

    commit, external = m["commit_update"], m["commit_external"]
    parts, outside = take_private(commit), take_public(external)
    joined = aad(g, "commit", cid, join, after)
    bad("commit-is-application", "content_type", "Something said where a commit is expected.", "commit", app, text)
    bad("commit-is-proposal", "content_type", "A proposal on its own.", "commit", m["proposal"], m.mid("proposal"))
    bad("commit-public-by-member", "not_private", "A member's commit in the clear: its proposals would be readable.", "commit", m["public_commit_member"], m.mid("clear"), cid=other_cid)
    bad("commit-public-by-external-sender", "not_private", "By an external sender.", "commit", public(cid, 1, EXTERNAL, joined, 3, outside[5][:0] + vec(b"") + b"\0", vec(b"s") + vec(b"c")), join)
    bad("commit-is-join-proposal", "not_private", "Somebody proposes to be added.", "commit", m["public_new_member_proposal"], join)
    bad("commit-is-proposal-of-joiner", "content_type", "A joiner's proposal.", "commit", public(cid, 1, JOINER, joined, 2, b"\0\x03\0\0\0\x01", vec(b"s")), join)
    bad("commit-is-application-of-joiner", "content_type", "A joiner's message.", "commit", public(cid, 1, JOINER, joined, 1, vec(b"text"), vec(b"s")), join)
    bad("commit-of-other-group", "group", "Another group.", "commit", private(other_cid, *parts[1:]), update)
    bad("commit-external-of-other-group", "group", "Another group.", "commit", public(other_cid, *outside[1:], b""), join)
    bad("commit-under-other-mid", "authenticated_data", "A good commit under another message id.", "commit", commit, other_mid)
    bad("commit-with-member-too-many", "authenticated_data", "The list names somebody whom the commit does not.", "commit", commit, update, after=after + [g.signer("mallory")])
    bad("commit-with-member-missing", "authenticated_data", "The list lacks somebody.", "commit", commit, update, after=after[:1])
    bad("commit-with-other-member", "authenticated_data", "The list names somebody else.", "commit", commit, update, after=[m.alice, g.signer("mallory")])
    bad("commit-external-with-other-members", "authenticated_data", "The list lacks somebody.", "commit", external, join, after=after[:1])
    bad("commit-data-of-application", "authenticated_data", "Without the hash of the members.", "commit", private(cid, 1, 3, aad(g, "app", cid, update)), update)
    unsorted = b"".join(sorted((g.public(key) for key in after), reverse=True))
    bad("commit-members-hash-unsorted", "authenticated_data", "The keys were hashed in another order.", "commit", private(cid, 1, 3, joined[:-32] + g.sha256(unsorted)), join)
    bad("commit-trailing-byte", "trailing_bytes", "One byte too many.", "commit", commit + b"\0", update)
    bad("commit-external-trailing-byte", "trailing_bytes", "One byte too many.", "commit", external + b"\0", join)
    bad("commit-external-cut", "truncated", "The last byte is missing.", "commit", external[:-1], join)


def key_packages(m):
    here = " SPEC, Key packages."
    g, key, now = m.g, m.g.public(m.mls), m.now
    # The codec and the labels are right: taken apart, signed again and put together it is what OpenMLS made.
    for name in ("key_package_one_time", "key_package_last_resort", "key_package_suite_3"):
        assert Package(m[name]).bytes() == m[name] == Package(m[name]).sign(m.mls).bytes()
    assert m.certificate == Package(m["key_package_one_time"]).identity

    def good(name, comment, message, now=now):
        p = Package(message)
        g.put("mls/key-package", "valid", name, comment + here, message=b64(message), certificate=b64(m.certificate), mls_key=g.ident(m.mls), now=devices.text(now), init_key_sha256=g.sha256(p.init_key).hex(), not_after=devices.text(p.not_after), is_last_resort=any(kind == 10 for kind, _ in p.extensions))

    def bad(name, error, comment, message=None, certificate=m.certificate, mls_key=m.mls, now=now, **changes):
        message = m.package(**changes) if message is None else message
        g.put("mls/key-package", "invalid", name, comment + here, message=b64(message), certificate=b64(certificate), mls_key=g.ident(mls_key), now=devices.text(now), error=error)

    one = m["key_package_one_time"]
    origin = Package(one)
    begin, end = origin.not_before, origin.not_after
    assert (begin, end) == (now - DAY, now + 83 * DAY)
    good("one-time", "As OpenMLS makes it.", one)
    good("last-resort", "As OpenMLS makes it, to be kept.", m["key_package_last_resort"])
    good("uploaded-late", "Made long before it is uploaded.", one, now=now + 80 * DAY)
    good("in-its-first-second", "Used when it begins.", m.package(not_before=now, not_after=now + DAY))
    good("in-its-last-second-but-one", "A second before it ends.", one, now=end - 1)
    good("ends-as-late-as-it-may", "83 days and an hour ahead.", one, now=now - 3600)
    good("lives-as-long-as-it-may", "84 days and an hour.", m.package(not_before=now - DAY - 3600))
    good("unknown-capabilities", "Values that nobody knows (RFC 9420 section 13.5).", m.package(versions=[0x0A0A, 1], suites=[0x1A1A, 1, 3], understood=[0x2A2A, KEZ_ROOM, 0xF4B6], proposals=[0x3A3A], credentials=[0x4A4A, 2, 1]))
    good("leaf-extension-of-rfc-9420", "application_id needs no capability.", m.package(leaf_extensions=[(1, b"app")]))
    good("leaf-extension-understood", "An extension that the leaf says it understands.", m.package(leaf_extensions=[(KEZ_ROOM, b"")]))
    good("package-extension-unknown", "The package's own extensions are its owner's business.", m.package(extensions=[(0x2A2A, b"x"), (10, b"")]))

    cut = lambda data: data[:-1]
    bad("trailing-byte", "trailing_bytes", "One byte too many.", one + b"\0")
    bad("cut", "truncated", "The last byte is missing.", cut(one))
    bad("message-version-2", "version", "A later version around it.", head=b"\0\x02\0\x05")
    bad("without-message-around", "unknown_value", "The bare package: its suite is read as a wire format, its encryption_key as a sender.", one[4:])
    bad("length-in-2-bytes", "length_prefix", "A length that is not in its shortest form.", one[:8] + b"\x40" + one[8:])
    at = one.index(vec(origin.identity))
    bad("credential-x509", "unknown_value", "A certificate chain of X.509.", one[: at - 2] + b"\0\x02" + one[at:])
    bad("source-0", "unknown_value", "The reserved source of a leaf.", source=0)
    versions = at + len(vec(origin.identity))
    bad("capabilities-of-odd-length", "truncated", "A list of three bytes.", one[:versions] + b"\x03\0\x01\0" + one[versions + 3 :])
    bad("leaf-extension-twice", "duplicate_extension", "An extension stands twice.", leaf_extensions=[(1, b"a"), (1, b"b")])
    bad("package-extension-twice", "duplicate_extension", "An extension stands twice, apart.", extensions=[(10, b""), (0x2A2A, b""), (10, b"")])
    for name in ("welcome", "group_info", "application", "commit_external"):
        bad(f"is-{name.replace('_', '-')}", "not_a_key_package", "Another MLS message.", m[name])
    bad("version-2", "package_version", "A package of a later version.", version=2)
    bad("suite-3", "suite", "A good package of another suite, as OpenMLS makes it.", m["key_package_suite_3"])
    bad("suite-2", "suite", "P-256.", suite=2)
    bad("certificate-of-other-device", "credential", "Another device of the account sends it.", certificate=m.certify(name="bob tablet"))
    bad("certificate-of-other-person", "credential", "Somebody else sends it.", certificate=m.certify(m.alice))
    bad("certificate-renewed", "credential", "The device has renewed its certificate since.", certificate=m.certify(begin=DAY, end=DAY))
    bad("identity-empty", "credential", "An empty identity.", identity=b"")
    bad("identity-cut", "credential", "The last byte is missing.", identity=cut(m.certificate))
    bad("identity-longer", "credential", "A byte more.", identity=m.certificate + b"\0")
    bad("identity-is-device-id", "credential", "Another identity.", identity=id16(g, "bob phone id"))
    other = g.signer("mallory")
    bad("signature-key-of-other", "signature_key", "Well signed by another key.", key=other, signature_key=g.public(other))
    bad("mls-key-renewed", "signature_key", "The device is enrolled with another key.", mls_key=other)
    bad("signature-key-cut", "signature_key", "31 bytes.", signature_key=cut(key))
    bad("signature-key-is-primary", "signature_key", "The primary key is no MLS key.", key=m.bob, signature_key=g.public(m.bob))
    bad("init-key-is-encryption-key", "init_key", "One key for two purposes.", init_key=origin.encryption_key)
    bad("init-key-empty", "init_key", "No key.", init_key=b"")
    bad("init-key-31-bytes", "init_key", "A byte is missing.", init_key=cut(origin.init_key))
    bad("init-key-33-bytes", "init_key", "A byte more.", init_key=origin.init_key + b"\0")
    bad("encryption-key-31-bytes", "init_key", "A byte is missing.", encryption_key=cut(origin.encryption_key))
    bad("encryption-key-65-bytes", "init_key", "A point of P-256.", encryption_key=b"\x04" + bytes(64))
    for name, comment, changes in (
        ("versions-empty", "It understands no version.", {"versions": []}),
        ("versions-without-1", "It does not understand MLS 1.0.", {"versions": [2]}),
        ("suites-empty", "It has no suite.", {"suites": []}),
        ("suites-without-1", "It does not have our suite.", {"suites": [2, 3]}),
        ("extensions-empty", "It understands no extension.", {"understood": []}),
        ("extensions-without-room", "It does not understand kez_room.", {"understood": [0xF4B4, 0xF4B6]}),
        ("room-among-proposals", "kez_room is an extension, no proposal.", {"understood": [], "proposals": [KEZ_ROOM]}),
        ("room-across-entries", "The two bytes of kez_room, in two entries.", {"understood": [0x00F4, 0xB500]}),
        ("credentials-empty", "It understands no credential.", {"credentials": []}),
        ("credentials-x509-only", "It does not understand basic credentials.", {"credentials": [2]}),
        ("leaf-extension-not-understood", "An extension that the leaf does not say it understands.", {"leaf_extensions": [(0xF4B6, b"")]}),
    ):
        bad("capabilities-" + name, "capabilities", comment, **changes)
    bad("leaf-of-update", "leaf_source", "The leaf of an update.", source=2, source_data=b"")
    bad("leaf-of-commit", "leaf_source", "The leaf of a commit.", source=3, source_data=vec(b"p" * 32))
    bad("not-yet-valid", "not_valid_now", "It begins in a second.", not_before=now + 1)
    bad("expired", "not_valid_now", "It ended long ago.", one, now=now + 100 * DAY)
    bad("in-its-last-second", "not_valid_now", "It ends now.", one, now=end)
    bad("ends-before-it-begins", "not_valid_now", "No time at all.", not_before=now, not_after=now - 1)
    bad("before-1970", "not_valid_now", "A server with a broken clock.", one, now=-1)
    bad("ends-too-late", "too_long", "A second more than 83 days and an hour ahead.", one, now=now - 3601)
    bad("lives-too-long", "too_long", "A second more than 84 days and an hour.", not_before=now - DAY - 3601)
    bad("lives-400-days", "too_long", "What OpenMLS's validate lets pass.", not_before=now - DAY, not_after=now + 399 * DAY)
    bad("lives-for-ever", "too_long", "The greatest number.", not_before=0, not_after=2**64 - 1)
    bad("ends-in-2-63", "too_long", "A number that is negative when read as signed.", not_after=2**63)

    def resigned(**how):
        return Package(one).sign(m.mls, **how).bytes()

    def spoilt(name, at, value=None):
        made = Package(one)
        data = getattr(made, name)
        setattr(made, name, value if value is not None else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        return made

    # A changed leaf signature is under the package's, which is made anew: one flaw each.
    def leaf_spoilt(at, value=None):
        made = spoilt("leaf_signature", at, value)
        made.signature = m.mls.sign(vec(b"MLS 1.0 KeyPackageTBS") + vec(made.package())).signature
        return made.bytes()

    bad("signature-broken", "signature", "A bit of the package's signature is flipped.", spoilt("signature", 0).bytes())
    bad("leaf-signature-broken", "signature", "A bit of the leaf's signature is flipped; the package's is good.", leaf_spoilt(0))
    bad("signature-of-63-bytes", "signature", "A byte is missing.", spoilt("signature", 0, cut(origin.signature)).bytes())
    bad("signature-empty", "signature", "No signature.", spoilt("signature", 0, b"").bytes())
    bad("leaf-signature-empty", "signature", "No signature of the leaf.", leaf_spoilt(0, b""))
    high = (int.from_bytes(origin.signature[32:], "little") + g.L).to_bytes(32, "little")
    bad("signature-s-plus-l", "signature", "S is out of range: one rule for every signature.", spoilt("signature", 0, origin.signature[:32] + high).bytes())
    bad("signatures-swapped", "signature", "The leaf's label on the package and the other way round.", resigned(leaf_label="KeyPackageTBS", label="LeafNodeTBS"))
    bad("signatures-without-prefix", "signature", "Labels without MLS 1.0 in front.", resigned(prefix=""))
    bad("signed-by-other", "signature", "Another key signed.", key=other)
    bad("signed-by-primary", "signature", "The primary key signed, which has another job.", key=m.bob)
    changed = Package(one)
    changed.init_key = g.sha256(b"another init key")
    bad("init-key-replaced", "signature", "Another init_key under the old signature.", changed.bytes())
    changed = Package(one)
    changed.not_after -= 1
    changed.signature = m.mls.sign(vec(b"MLS 1.0 KeyPackageTBS") + vec(changed.package())).signature
    bad("lifetime-replaced", "signature", "Another lifetime under the leaf's old signature; the package's is good.", changed.bytes())
