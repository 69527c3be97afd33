"""Commits that are taken and refused: the part of e2e.py about the policy. SPEC, Policy.

People are alice, bob, carol, dave; each device is a name like `alice/phone`. The judgement in each file is written down by
hand, rule by rule; only keys, certificates and hashes are computed."""

import struct

DOMAIN = b"kez-chat/mls-device-cert/v1\0"
DAY = 86400
AT = 1779667200  # 2026-05-25T00:00:00Z
HERE = " SPEC, Policy."


class Case:
    """A commit, good as it is made; what is special about one is changed in it."""

    def __init__(self, g, kind, devices, admins=()):
        self.g, self.kind, self.devices, self.admins = g, kind, list(devices), list(admins)
        self.at, self.revoked, self.foreign = AT, [], False
        self.by, self.path, self.newcomer = 0, ..., None
        self.added, self.removed = [], []
        self.room_after, self.members_after = ..., ...

    def primary(self, name):
        return self.g.signer(name.split("/")[0])

    def leaf(self, name):
        g = self.g
        return {"primary": g.ident(self.primary(name)), "device_id": self.device_id(name), "mls_key": g.ident(g.signer(name + " mls"))}

    def device_id(self, name):
        return self.g.sha256(b"kez vectors device " + name.encode())[:16].hex()

    def device(self, name):
        return {"primary": self.g.ident(self.primary(name)), "device_id": self.device_id(name)}

    def claimed(self, name, begin=AT - DAY, end=AT + 30 * DAY, usable=True, key=None, signer=None, as_device=None, break_it=False):
        """A leaf as it stands in a message."""
        g = self.g
        mls = g.public(g.signer(key or name + " mls"))
        body = b"\1" + g.public(self.primary(name)) + bytes.fromhex(self.device_id(as_device or name)) + struct.pack(">QQ", begin, end)
        signature = (signer or self.primary(name)).sign(DOMAIN + body + mls).signature
        identity = body + (signature[:-1] + bytes([signature[-1] ^ 1]) if break_it else signature)
        return {"identity": identity.hex(), "mls_key": mls.hex(), "is_usable": usable}

    def room(self, kind=None, admins=None, gi_key=b"kez vectors gi_key"):
        admins = self.admins if admins is None else admins
        return {"kind": kind or self.kind, "admins": sorted(self.g.ident(self.g.signer(name)) for name in admins), "gi_key": self.g.sha256(gi_key).hex()}

    def members(self, names):
        return sorted({self.g.public(self.primary(name)) for name in names})

    def json(self, came, went, stay=None):
        g = self.g
        stay = [name for name in self.devices if name not in went] if stay is None else stay
        after = self.members_after if self.members_after is not ... else stay + came
        members = self.members(after)
        cid, mid = g.sha256(b"kez vectors town")[:16], g.sha256(b"kez vectors commit")[:16]
        data = b"kez-chat/frame/v1\0\2" + cid + mid + g.sha256(b"".join(members))
        path = self.claimed(self.devices[self.by]) if self.path is ... else self.path
        by = {"newcomer": self.newcomer} if self.newcomer else {"member": self.by, "path": path}
        case = {
            "room": self.room(),
            "leaves": [{"index": index, **self.leaf(name)} for index, name in enumerate(self.devices)],
            "cid": cid.hex(), "mid": mid.hex(), "at": self.at, "revoked": [self.device(name) for name in self.revoked],
            "commit": {"by": by, "added": self.added, "removed": self.removed, "room_after": self.room() if self.room_after is ... else self.room_after, "has_foreign_proposals": self.foreign, "authenticated_data": data.hex()},
        }
        outcome = {"came": [self.device(name) for name in came], "went": [self.device(name) for name in went], "members": ["ed25519:" + key.hex() for key in self.members(stay + came)]}
        return case, outcome


def write(g):
    taken(g)
    refused(g)
    rosters(g)


PAIR = ("alice/phone", "bob/phone")
TOWN = ("alice/phone", "bob/phone", "carol/phone")


def direct(g, **changes):
    return made(Case(g, "direct", PAIR), changes)


def town(g, **changes):
    return made(Case(g, "group", TOWN, ["alice"]), changes)


def made(case, changes):
    for name, value in changes.items():
        setattr(case, name, value(case) if callable(value) else value)
    return case


def taken(g):
    def put(name, comment, case, came=(), went=()):
        members, outcome = case.json(list(came), list(went))
        g.put("policy", "valid", name, comment + HERE, **members, **outcome)

    put("renewal", "A device renews its keys.", direct(g))
    put("renewal-by-second", "The other one does.", direct(g, by=1))
    put("certificate-replaced", "A device brings its new certificate.", direct(g, path=lambda c: c.claimed("alice/phone", begin=AT, end=AT + 300 * DAY)))
    put("window-begins-tomorrow", "A certificate that begins in less than a day: clocks differ.", direct(g, path=lambda c: c.claimed("alice/phone", begin=AT + DAY)))
    put("window-ended-yesterday", "One that ended less than a day ago.", direct(g, path=lambda c: c.claimed("alice/phone", end=AT - DAY + DAY, begin=AT - 9 * DAY), at=AT + DAY))
    put("own-device-added", "Own devices come always.", direct(g, added=lambda c: [c.claimed("alice/tablet")]), ["alice/tablet"])
    put("peers-device-added", "In a conversation of two either side's do.", direct(g, added=lambda c: [c.claimed("bob/tablet")]), ["bob/tablet"])
    first = Case(g, "direct", ["alice/phone"])
    first.added = [first.claimed("bob/phone"), first.claimed("bob/tablet"), first.claimed("alice/tablet")]
    put("first-commit-of-two", "The first commit brings the other one in.", first, ["bob/phone", "bob/tablet", "alice/tablet"])
    alone = Case(g, "self", ["alice/phone"])
    alone.added = [alone.claimed("alice/tablet")]
    put("self-own-device", "One's own devices.", alone, ["alice/tablet"])
    put("group-add-by-admin", "An admin adds somebody.", town(g, added=lambda c: [c.claimed("dave/phone")]), ["dave/phone"])
    put("group-own-device-by-member", "A member adds an own device.", town(g, by=1, added=lambda c: [c.claimed("bob/tablet")]), ["bob/tablet"])
    put("group-remove-by-admin", "An admin removes somebody.", town(g, removed=[2]), went=["carol/phone"])
    put("add-and-remove", "Both in one commit.", town(g, removed=[2], added=lambda c: [c.claimed("dave/phone")]), ["dave/phone"], ["carol/phone"])
    many = Case(g, "group", ["alice/phone", "bob/phone", "bob/tablet"], ["alice"])
    many.by, many.removed = 1, [2]
    put("own-device-removed", "A member removes an own device.", many, went=["bob/tablet"])
    put("revoked-removed-by-anybody", "Anybody removes a device that its owner has revoked.", town(g, by=1, removed=[2], revoked=["carol/phone"]), went=["carol/phone"])
    pair = Case(g, "direct", ["alice/phone", "bob/phone", "bob/tablet"])
    pair.removed, pair.revoked = [2], ["bob/tablet"]
    put("revoked-removed-in-direct", "Also in a conversation of two.", pair, went=["bob/tablet"])
    put("revoked-device-added", "A revoked device is added: flagged by clients, never refused, or views that differ for seconds would split the group.", direct(g, added=lambda c: [c.claimed("bob/tablet")], revoked=["bob/tablet"]), ["bob/tablet"])
    put("admins-changed", "An admin names another.", town(g, room_after=lambda c: c.room(admins=["alice", "bob"])))
    put("admins-none", "An admin leaves nobody as one.", town(g, room_after=lambda c: c.room(admins=[])))
    orphan = Case(g, "group", TOWN, ["dave"])
    orphan.by, orphan.removed = 1, [2]
    put("no-admin-left", "With no admin in it everybody counts as one.", orphan, went=["carol/phone"])
    put("external-second-device", "A second device of a member comes in by itself.", direct(g, newcomer=lambda c: c.claimed("bob/tablet")), ["bob/tablet"])
    put("external-replaces-itself", "A device that lost its state takes its own leaf's place.", direct(g, newcomer=lambda c: c.claimed("bob/phone"), removed=[1]), ["bob/phone"], ["bob/phone"])
    old = Case(g, "direct", ["alice/phone", "bob/phone", "bob/tablet"])
    old.newcomer, old.removed = old.claimed("bob/laptop"), [2]
    put("external-in-place-of-own", "It may take the place of another device of the same person.", old, ["bob/laptop"], ["bob/tablet"])


def refused(g):
    def put(name, error, comment, case, came=(), went=()):
        members, _ = case.json(list(came), list(went))
        g.put("policy", "invalid", name, comment + HERE, **members, error=error)

    put("foreign-proposal", "foreign_proposal", "A proposal of another kind, or one that stands alone.", direct(g, foreign=True))
    put("no-path", "no_path", "A commit without new keys: who is removed by one could follow.", town(g, removed=[2], path=None), went=["carol/phone"])
    # Certificates.
    put("path-not-certified", "not_certified", "The renewed leaf's certificate is broken.", direct(g, path=lambda c: c.claimed("alice/phone", break_it=True)))
    put("path-certificate-by-other", "not_certified", "Somebody else certified it.", direct(g, path=lambda c: c.claimed("alice/phone", signer=g.signer("mallory"))))
    put("added-not-certified", "not_certified", "The newcomer's certificate is by somebody else.", direct(g, added=lambda c: [c.claimed("bob/tablet", signer=g.signer("mallory"))]), ["bob/tablet"])
    put("added-no-certificate", "not_certified", "A name in place of a certificate.", direct(g, added=lambda c: [{**c.claimed("bob/tablet"), "identity": b"bob".hex()}]), ["bob/tablet"])
    put("added-other-mls-key", "not_certified", "A certificate for another key.", direct(g, added=lambda c: [{**c.claimed("bob/tablet"), "mls_key": c.claimed("carol/phone")["mls_key"]}]), ["bob/tablet"])
    put("external-not-certified", "not_certified", "Who comes in is not certified.", direct(g, newcomer=lambda c: c.claimed("bob/tablet", break_it=True)), ["bob/tablet"])
    put("path-window-over", "window", "The certificate ended more than a day ago.", direct(g, path=lambda c: c.claimed("alice/phone", begin=AT - 9 * DAY, end=AT - DAY - 1)))
    put("path-window-to-come", "window", "It begins in more than a day.", direct(g, path=lambda c: c.claimed("alice/phone", begin=AT + DAY + 1)))
    put("added-window-over", "window", "The newcomer's certificate ended.", direct(g, added=lambda c: [c.claimed("bob/tablet", begin=AT - 9 * DAY, end=AT - DAY - 1)]), ["bob/tablet"])
    put("external-window-over", "window", "Who comes in has a certificate that ended.", direct(g, newcomer=lambda c: c.claimed("bob/tablet", begin=AT - 9 * DAY, end=AT - DAY - 1)), ["bob/tablet"])
    put("added-unusable", "unusable", "A key package with a lifetime that cannot be, or without what it must understand.", direct(g, added=lambda c: [c.claimed("bob/tablet", usable=False)]), ["bob/tablet"])
    # Devices.
    put("added-twice", "device_twice", "A device that is in it already.", direct(g, added=lambda c: [c.claimed("bob/phone")]), ["bob/phone"])
    put("added-two-of-one", "device_twice", "One device in two leaves.", direct(g, added=lambda c: [c.claimed("bob/tablet"), c.claimed("bob/tablet")]), ["bob/tablet"])
    put("external-twice", "device_twice", "A device comes in and leaves its old leaf.", direct(g, newcomer=lambda c: c.claimed("bob/phone")), ["bob/phone"])
    put("external-other-key", "other_device", "A device takes its own place with another key.", direct(g, newcomer=lambda c: c.claimed("bob/phone", key="bob/phone mls 2"), removed=[1]), ["bob/phone"], ["bob/phone"])
    put("path-other-key", "other_device", "A device renews into another key.", direct(g, path=lambda c: c.claimed("alice/phone", key="alice/phone mls 2")))
    put("path-other-device", "other_device", "A device turns into another one of its owner.", direct(g, path=lambda c: c.claimed("alice/phone", as_device="alice/tablet")))
    put("path-other-person", "other_device", "A device turns into somebody else's.", direct(g, path=lambda c: c.claimed("bob/tablet", key="alice/phone mls")))
    # Who may come in.
    put("external-stranger", "entry", "Somebody who is not in it comes in.", direct(g, newcomer=lambda c: c.claimed("mallory/phone")), ["mallory/phone"])
    put("external-removes-other", "entry", "Who comes in removes somebody else.", direct(g, newcomer=lambda c: c.claimed("bob/tablet"), removed=[0]), ["bob/tablet"], ["alice/phone"])
    three = Case(g, "direct", ["alice/phone", "bob/phone", "bob/tablet"])
    three.newcomer, three.removed = three.claimed("bob/laptop"), [1, 2]
    put("external-removes-two", "entry", "Who comes in removes two.", three, ["bob/laptop"], ["bob/phone", "bob/tablet"])
    put("external-adds", "entry", "Who comes in brings another.", direct(g, newcomer=lambda c: c.claimed("bob/tablet"), added=lambda c: [c.claimed("bob/laptop")]), ["bob/tablet", "bob/laptop"])
    put("member-that-is-not", "entry", "A leaf that nobody has.", nobody(g))
    # Who may remove and add.
    put("group-remove-by-member", "remove", "A member removes somebody.", town(g, by=1, removed=[2]), went=["carol/phone"])
    put("direct-remove-peers-device", "remove", "One of two removes a device of the other.", with_tablet(g, removed=[2]), went=["bob/tablet"])
    put("remove-nobody", "remove", "A place that is empty.", town(g, removed=[9]))
    put("remove-twice", "remove", "One place twice.", town(g, removed=[2, 2]), went=["carol/phone"])
    put("revoked-is-another", "remove", "Another device of the same person was revoked.", town(g, by=1, removed=[2], revoked=["carol/tablet"]), went=["carol/phone"])
    put("group-add-by-member", "add", "A member adds somebody.", town(g, by=1, added=lambda c: [c.claimed("dave/phone")]), ["dave/phone"])
    put("group-others-device-by-member", "add", "A member adds a device of another member.", town(g, by=1, added=lambda c: [c.claimed("carol/tablet")]), ["carol/tablet"])
    put("direct-add-stranger", "add", "A third person in a conversation of two.", direct(g, added=lambda c: [c.claimed("carol/phone")]), ["carol/phone"])
    alone = Case(g, "self", ["alice/phone"])
    alone.added = [alone.claimed("bob/phone")]
    put("self-add-other", "add", "Somebody else among one's own devices.", alone, ["bob/phone"])
    # People.
    put("direct-first-commit-alone", "people", "A conversation of two with one.", Case(g, "direct", ["alice/phone"]))
    crowd = Case(g, "direct", ["alice/phone"])
    crowd.added = [crowd.claimed("bob/phone"), crowd.claimed("carol/phone")]
    put("direct-first-commit-of-three", "people", "One of two begins with three.", crowd, ["bob/phone", "carol/phone"])
    gone = direct(g, removed=[1], revoked=["bob/phone"])
    put("direct-loses-its-peer", "people", "The last device of the other one goes.", gone, went=["bob/phone"])
    # The room.
    put("admins-by-member", "room", "A member makes itself an admin.", town(g, by=1, room_after=lambda c: c.room(admins=["alice", "bob"])))
    put("admins-by-newcomer", "room", "Who comes in makes itself an admin.", town(g, newcomer=lambda c: c.claimed("bob/tablet"), room_after=lambda c: c.room(admins=["bob"])), ["bob/tablet"])
    put("kind-changed", "room", "A group becomes a conversation of two.", town(g, room_after=lambda c: c.room(kind="direct", admins=[])))
    put("gi-key-changed", "room", "Another key for the group information.", town(g, room_after=lambda c: c.room(gi_key=b"another")))
    put("direct-gi-key-changed", "room", "Also not in a conversation of two.", direct(g, room_after=lambda c: c.room(gi_key=b"another")))
    put("room-missing", "room", "No room, or an extension more.", town(g, room_after=None))
    # Binding.
    put("members-too-few", "binding", "Bound to fewer people than it makes.", town(g, members_after=["alice/phone", "bob/phone"]))
    put("members-too-many", "binding", "Bound to somebody who is not there.", town(g, members_after=[*TOWN, "dave/phone"]))
    put("removed-still-listed", "binding", "The server is to go on delivering to who was removed.", town(g, removed=[2], members_after=list(TOWN)), went=["carol/phone"])
    # Sizes.
    full = Case(g, "group", [f"person {n}/phone" for n in range(64)], ["person 0"])
    full.added = [full.claimed("dave/phone")]
    put("people-65", "too_many", "65 people.", full, ["dave/phone"])
    leaves = Case(g, "group", [f"alice/device {n}" for n in range(256)], ["alice"])
    leaves.added = [leaves.claimed("alice/phone")]
    put("leaves-257", "too_many", "257 devices.", leaves, ["alice/phone"])


def with_tablet(g, **changes):
    return made(Case(g, "direct", ["alice/phone", "bob/phone", "bob/tablet"]), changes)


def nobody(g):
    case = direct(g, path=lambda c: c.claimed("alice/phone"))
    case.by = 9
    return case


def rosters(g):
    """What somebody is let into."""

    def put(name, comment, kind, devices, error=None, admins=(), **changes):
        case = Case(g, kind, [], admins)
        leaves = [device if isinstance(device, dict) else case.claimed(device, **changes) for device in devices]
        outcome = {"error": error} if error else {"members": ["ed25519:" + key.hex() for key in case.members(devices)]}
        g.put("policy-roster", "invalid" if error else "valid", name, comment + HERE, room=case.room(), leaves=leaves, **outcome)

    case = Case(g, "direct", [])
    put("two-people", "Two people with three devices.", "direct", ["alice/phone", "bob/phone", "bob/tablet"])
    put("group", "A group of three.", "group", TOWN, admins=["alice"])
    put("own-devices", "One's own devices.", "self", ["alice/phone", "alice/tablet"])
    put("windows-over", "Windows are not looked at: a quiet member must not lock newcomers out.", "direct", PAIR, begin=1, end=2)
    put("not-certified", "A leaf that nobody certified.", "direct", ["alice/phone", case.claimed("bob/phone", break_it=True)], "not_certified")
    put("by-another", "A leaf under bob's name that mallory certified.", "direct", ["alice/phone", case.claimed("bob/phone", signer=g.signer("mallory"))], "not_certified")
    put("device-twice", "A device in two leaves.", "direct", ["alice/phone", "bob/phone", "bob/phone"], "device_twice")
    put("direct-of-three", "Three people in a conversation of two.", "direct", TOWN, "people")
    put("direct-of-one", "One person in a conversation of two.", "direct", ["alice/phone", "alice/tablet"], "people")
    put("self-of-two", "Two people among one's own devices.", "self", PAIR, "people")
    put("people-65", "65 people.", "group", [f"person {n}/phone" for n in range(65)], "too_many")
