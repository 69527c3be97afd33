"""Signed calls and the keys of sessions: the third part of generate.py, which runs it.

Signatures and X25519 are PyNaCl's (libsodium), HMAC and SHA-256 the standard library's, HKDF is written out below.
A signature base is put together from the text of Signature-Input, as RFC 9421 section 2.5 says, and not by a reader of it.
"""

import base64
import hashlib
import hmac

import nacl.bindings
import nacl.exceptions
import nacl.signing

CREATED = 1779667200
NOW = "2026-05-25T00:00:00Z"
NONCE = "AAECAwQFBgcICQoLDA0ODw"
DEVICE = "00112233445566778899aabbccddeeff"
TOKEN = "c2Vzc2lvbi10b2tlbi1vZi1hbGljZQ"
BODY = b'{"hello": "world"}'
GET = {"method": "GET", "authority": "kez.lat", "path": "/v1/inbox", "query": "after=7&limit=50", "content_digest": None}
FOUR = ['"@method"', '"@authority"', '"@path"', '"@query"']
FIVE = FOUR + ['"content-digest"']
RFC_9421 = " RFC 9421 (IETF Trust), "


def b64(data):
    return base64.b64encode(data).decode()


def digest(body):
    return f"sha-256=:{b64(hashlib.sha256(body).digest())}:"


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


POST = {"method": "POST", "authority": "kez.lat", "path": "/v1/conversations", "query": None, "content_digest": digest(BODY)}


def write(g):
    for topic in (digests, bases, signatures, x25519, sessions):
        topic(g)


# --- Content-Digest --------------------------------------------------------------------------------------------------


def digests(g):
    def good(name, comment, header, body, ours=True):
        assert (digest(body) == header) == ours
        g.put("content-digest", "valid", name, comment, header=header, body_base64=b64(body), ours=ours)

    def bad(name, comment, header, error, body=BODY):
        g.put("content-digest", "invalid", name, comment + " RFC 9530 section 2.", header=header, body_base64=b64(body), error=error)

    rfc = " The example of RFC 9530 "
    sha512 = "sha-512=:" + b64(hashlib.sha512(BODY + b"\n").digest()) + ":"
    good("rfc-9530-b-1", "A JSON text with a line end." + rfc + "appendix B.1.", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", BODY + b"\n")
    good("rfc-9421-b-2", "Without the line end. RFC 9421 appendix B.2 has the SHA-512 of this body.", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", BODY)
    good("empty-body", "Nothing has a digest as well.", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", b"")
    good("with-sha-512", "Other algorithms are not looked at. The body of RFC 9530 appendix B.1.", sha512 + ", " + digest(BODY + b"\n"), BODY + b"\n", False)
    good("with-unknown-after", "Other algorithms are not looked at, whatever their value.", digest(BODY) + ", md5=?0;x, unixsum=1.5", BODY, False)
    good("spaces-around", "Spaces around the dictionary and tabs around its commas.", "  " + digest(BODY) + " \t,\t a  ", BODY, False)

    value = digest(BODY).removeprefix("sha-256=")
    bad("other-body", "The digest of another body.", digest(b"{}"), "mismatch")
    bad("sha-512-only", "Only another algorithm.", sha512, "missing", BODY + b"\n")
    bad("empty", "An empty dictionary.", "", "missing")
    bad("upper-case-name", "Keys are in lower case.", "SHA-256=" + value, "malformed")
    bad("hex", "Hex for base64, as a token.", "sha-256=" + "a" * 64, "malformed")
    bad("string", "A string for a byte sequence.", 'sha-256="' + value.strip(":") + '"', "malformed")
    bad("list", "An inner list for a byte sequence.", f"sha-256=({value})", "malformed")
    bad("no-value", "A boolean for a byte sequence.", "sha-256", "malformed")
    bad("twice", "Twice the same: readers differ in which one they take.", digest(BODY) + ", " + digest(BODY), "malformed")
    bad("twice-differing", "The right one last.", digest(b"{}") + ", " + digest(BODY), "malformed")
    bad("parameter", "A parameter says nothing here.", digest(BODY) + ";x=1", "malformed")
    bad("31-bytes", "Too short.", "sha-256=:" + b64(bytes(31)) + ":", "malformed")
    bad("33-bytes", "Too long.", "sha-256=:" + b64(bytes(33)) + ":", "malformed")
    bad("no-padding", "Base64 without its padding.", "sha-256=" + value.replace("=:", ":"), "malformed")
    bad("trailing-bits", "Unused bits of the last digit are set.", "sha-256=" + value.replace("E=:", "F=:"), "malformed")
    bad("base64url", "Another alphabet.", "sha-256=:" + "-_" * 21 + "A=:", "malformed")
    bad("comma-at-end", "Nothing behind the comma.", digest(BODY) + ",", "malformed")
    bad("bad-other", "Another member breaks the grammar.", digest(BODY) + ", x=", "malformed")
    bad("too-long", "More than 4096 bytes.", digest(BODY) + ", x=" + "a" * 4096, "malformed")


# --- RFC 9421 test cases ---------------------------------------------------------------------------------------------


def bases(g):
    """Cases whose components are not ours: what is tested is the base, and the signature over it."""
    request = {"date": "Tue, 20 Apr 2021 02:07:55 GMT", "@method": "POST", "@path": "/foo", "@authority": "example.com", "content-type": "application/json", "content-length": "18"}

    def case(name, comment, names, params, **members):
        signature_params = "(" + " ".join(f'"{n}"' for n in names) + ")" + params
        base = "".join(f'"{n}": {request[n]}\n' for n in names) + f'"@signature-params": {signature_params}'
        g.put("http-signature-base", "valid", name, comment, signature_input=f"sig={signature_params}", values=request, base=base, **members)
        return base.encode()

    public = base64.b64decode("MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")[-32:]
    signature = base64.b64decode("wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==")
    base = case("rfc-9421-b-2-6", "Signing a request using ed25519." + RFC_9421 + "appendix B.2.6.", ["date", "@method", "@path", "@authority", "content-type", "content-length"], ';created=1618884473;keyid="test-key-ed25519"', public_key=public.hex(), signature=signature.hex())
    nacl.signing.VerifyKey(public).verify(base, signature)

    secret = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
    signature = base64.b64decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=")
    base = case("rfc-9421-b-2-5", "Signing a request using hmac-sha256." + RFC_9421 + "appendix B.2.5.", ["date", "@authority", "content-type"], ';created=1618884473;keyid="test-shared-secret"', hmac_key=secret.hex(), signature=signature.hex())
    assert hmac.digest(secret, base, "sha256") == signature


# --- Our profile -----------------------------------------------------------------------------------------------------


def value(request, component):
    """Of a component as it is written in Signature-Input; one that we do not know has some value."""
    return {
        '"@method"': request["method"], '"@authority"': request["authority"], '"@path"': request["path"] or "/",
        '"@query"': "?" + (request["query"] or ""), '"content-digest"': request["content_digest"] or "",
    }.get(component, "x")


class Calls:
    def __init__(self, g):
        self.g = g
        self.seed = b"\x43" * 32
        self.device = nacl.signing.SigningKey(self.seed)
        self.session_key = g.sha256(b"kez vectors session key")
        self.keyid = f"{g.ident(g.KEY)}/{DEVICE}"

    def params(self, session=False, **changes):
        found = {"created": str(CREATED), "expires": str(CREATED + 60), "nonce": f'"{NONCE}"', "keyid": f'"{TOKEN if session else self.keyid}"', "alg": '"hmac-sha256"' if session else '"ed25519"', "tag": '"kez-chat"'}
        found.update(changes)
        return {k: v for k, v in found.items() if v is not None}

    def sign(self, base, session):
        return hmac.digest(self.session_key, base.encode(), "sha256") if session else self.device.sign(base.encode()).signature

    def call(self, request, session=False, components=None, params=None, written=None, label="kez"):
        """The members of a vector; `written`: how Signature-Input spells what is signed, when it is not the same."""
        components = components or (FIVE if request["content_digest"] else FOUR)
        params = params or self.params(session)
        text = "(" + " ".join(components) + ")" + "".join(f";{k}={v}" for k, v in params.items())
        base = "".join(f"{c}: {value(request, c)}\n" for c in components) + f'"@signature-params": {text}'
        key = {"session_key": self.session_key.hex()} if session else {"public_key": self.device.verify_key.encode().hex()}
        return {"request": request, "signature_input": f"{label}={written or text}", "signature": f"{label}=:{b64(self.sign(base, session))}:", **key, "now": NOW}, base


def signatures(g):
    calls = Calls(g)
    here = " protocol.md section 7."

    def good(name, comment, request=GET, session=False, again=False, change=None, now=NOW, **how):
        vector, base = calls.call(request, session, **how)
        params = how.get("params") or calls.params(session)
        vector.update(change(vector) if change else {}, now=now)
        secret = {"seed": calls.seed.hex()} if again and not session else {}
        g.put("http-signature", "valid", name, comment + here, **vector, **secret, signed_again=again, key_id=params["keyid"].strip('"'), nonce=params["nonce"].strip('"'), created=int(params["created"]), expires=int(params["expires"]), base=base)

    def bad(name, comment, error, request=GET, session=False, change=None, now=NOW, **how):
        vector, _ = calls.call(request, session, **how)
        vector.update(change(vector) if change else {}, now=now)
        g.put("http-signature", "invalid", name, comment + here, **vector, error=error)

    def params(session=False, **changes):
        return calls.params(session, **changes)

    good("device-get", "A device reads its inbox.", again=True)
    good("device-post", "A device sends a body.", POST, again=True)
    good("session-get", "The same within a session.", session=True, again=True)
    good("session-post", "A body within a session.", POST, session=True, again=True)
    good("path-empty", "An empty path stands for /.", {**GET, "path": "", "query": None}, again=True)
    good("query-empty", "An empty query is written as an absent one.", {**GET, "query": ""}, again=True)
    good("query-question-mark", "The query may have a question mark of its own.", {**GET, "query": "?a=%20b"}, again=True)
    good("path-encoded", "Percent-encoding stays as it was sent.", {**GET, "path": "/v1/blobs/%7Ea%2fb"}, again=True)
    good("authority-port", "A port that is not the default.", {**GET, "authority": "localhost:8080"}, again=True)
    good("components-other-order", "The order of components is the signer's.", POST, components=FIVE[::-1])
    good("parameters-other-order", "The order of parameters is the signer's.", params=dict(reversed(params().items())))
    good("label-other", "The label is free.", label="*sig-1.x_y")
    good("nonce-16", "The shortest nonce.", params=params(nonce='"aA0-_aA0-_aA0-_x"'))
    good("nonce-64", "The longest nonce.", params=params(nonce='"' + "n" * 64 + '"'))
    good("session-token-256", "The longest token.", session=True, params=params(True, keyid='"' + "t" * 256 + '"'))
    good("session-token-1", "The shortest token.", session=True, params=params(True, keyid='"t"'))
    good("lifetime-1", "The shortest lifetime.", params=params(expires=str(CREATED + 1)))
    good("now-expires", "The last instant.", now="2026-05-25T00:01:00Z")
    good("now-5-before-created", "The clock of the device is 5 s ahead.", now="2026-05-24T23:59:55Z")
    text = calls.call(GET)[1].rsplit(": ", 1)[1]
    good("spaces", "Spaces where the grammar has them are not signed.", written=text.replace("(", "(  ").replace('" "', '"   "').replace(")", " )").replace(";", ";  "), change=lambda v: {"signature_input": "  " + v["signature_input"] + "  ", "signature": " " + v["signature"]})
    good("zeros", "Leading zeros of an integer are not signed.", written=text.replace("created=", "created=0000"))
    good("beside-a-proxy", "Members with another tag or none are passed over, also when they use what we do not.", change=lambda v: {"signature_input": f'proxy=("@status";req "x-y");created=1;keyid="k";tag="proxy", bare, {v["signature_input"]}, n=1.5;a=tok/en', "signature": f'proxy=:AAAA:, {v["signature"]}'})
    good("proxy-repeated", "A label that is not ours may repeat.", change=lambda v: {"signature_input": f'p=();tag="a", p=();tag="b",\t{v["signature_input"]}', "signature": f'p=:AA==:,{v["signature"]},p=:AA==:'})

    # Absent, repeated, malformed
    bad("absent", "No headers.", "absent", change=lambda v: {"signature_input": "", "signature": ""})
    bad("tag-other", "Another application's signature.", "absent", params=params(tag='"kez-chat2"'))
    bad("tag-token", "A token is not the string.", "absent", params=params(tag="kez-chat"))
    bad("tag-missing", "No tag.", "absent", params=params(tag=None))
    bad("tag-upper-case", "Tags are compared with case.", "absent", params=params(tag='"KEZ-CHAT"'))
    bad("two-of-ours", "Two labels with our tag.", "repeated", change=lambda v: {"signature_input": v["signature_input"] + ", " + v["signature_input"].replace("kez=", "kez2=", 1), "signature": v["signature"] + ", " + v["signature"].replace("kez=", "kez2=", 1)})
    bad("label-twice", "Our label twice with our tag.", "repeated", change=lambda v: {"signature_input": v["signature_input"] + ", " + v["signature_input"]})
    bad("label-twice-other-tag", "Our label again with another tag: the last would win.", "repeated", change=lambda v: {"signature_input": v["signature_input"] + ', kez=();tag="proxy"'})
    bad("signature-twice", "Our label twice in Signature.", "repeated", change=lambda v: {"signature": v["signature"] + ", " + v["signature"]})
    bad("comma-at-end", "Nothing behind the comma.", "malformed", change=lambda v: {"signature_input": v["signature_input"] + ","})
    bad("signature-comma-at-end", "Nothing behind the comma.", "malformed", change=lambda v: {"signature": v["signature"] + ","})
    bad("unclosed-string", "A string without its end.", "malformed", change=lambda v: {"signature_input": v["signature_input"][:-1]})
    bad("unclosed-list", "A list without its end.", "malformed", change=lambda v: {"signature_input": v["signature_input"].replace(")", "")})
    bad("components-with-commas", "Items of an inner list are apart by spaces.", "malformed", change=lambda v: {"signature_input": v["signature_input"].replace('" "', '", "')})
    bad("integer-16-digits", "An integer has 15 digits at most.", "malformed", params=params(created="1779667200000000"))
    bad("line-end", "A line end inside.", "malformed", change=lambda v: {"signature_input": v["signature_input"].replace(";created", ";\ncreated")})
    bad("non-ascii", "Not ASCII.", "malformed", params=params(nonce='"ääääääääääääääää"'))
    bad("too-long", "More than 4096 bytes.", "malformed", change=lambda v: {"signature_input": v["signature_input"] + ", p=" + "a" * 4096})
    bad("signature-too-long", "More than 4096 bytes.", "malformed", change=lambda v: {"signature": v["signature"] + ", p=" + "a" * 4096})

    # Components
    for left_out in FIVE[:4]:
        name = left_out.strip('"@')
        bad(f"without-{name}", "A component is missing.", "components", POST, components=[c for c in FIVE if c != left_out])
    bad("component-twice", "A component twice.", "components", components=FOUR + ['"@path"'])
    bad("component-twice-for-another", "Four of them, one twice.", "components", components=['"@method"', '"@authority"', '"@path"', '"@path"'])
    bad("component-further", "One more component.", "components", components=FOUR + ['"date"'])
    bad("component-target-uri", "Another component of the RFC.", "components", components=FOUR[:3] + ['"@target-uri"'])
    bad("component-parameter", "A component with a parameter is another one.", "components", components=FOUR[:3] + ['"@query";req'])
    bad("component-query-param", "One query parameter is not the query.", "components", components=FOUR[:3] + ['"@query-param";name="after"'])
    bad("component-upper-case", "Names are in lower case.", "components", POST, components=FOUR + ['"Content-Digest"'])
    bad("component-token", "A token is not the string.", "components", components=["method"] + FOUR[1:])
    bad("no-components", "Nothing is covered.", "components", components=[""])
    bad("components-item", "Our tag on an item that is no list.", "components", change=lambda v: {"signature_input": 'kez="@method"' + v["signature_input"].split(")", 1)[1]})
    bad("body-not-covered", "There is a body, and its digest is not covered.", "body", POST, components=FOUR)
    bad("digest-without-body", "A digest is covered, and there is no body.", "body", components=FIVE)

    # Parameters
    for name in ("created", "expires", "nonce", "keyid", "alg"):
        bad(f"without-{name}", "A parameter is missing.", "parameters", params=params(**{name: None}))
    bad("parameter-further", "One more parameter.", "parameters", params=params(x="1"))
    bad("created-string", "A string for an integer.", "parameters", params=params(created=f'"{CREATED}"'))
    bad("created-decimal", "A decimal for an integer.", "parameters", params=params(created=f"{CREATED}.0"))
    bad("expires-boolean", "No value.", "parameters", params=params(expires="?1"))
    bad("nonce-token", "A token for a string.", "parameters", params=params(nonce=NONCE))
    bad("nonce-bytes", "A byte sequence for a string.", "parameters", params=params(nonce=":AAECAwQFBgcICQoLDA0ODw==:"))
    for name in ("created", "nonce", "keyid", "alg", "tag"):
        bad(f"{name}-twice", "A parameter twice: the last would win.", "parameters", change=lambda v, name=name: {"signature_input": v["signature_input"] + f";{name}={params()[name]}"})
    bad("tag-ours-then-other", "A tag twice, ours first.", "parameters", change=lambda v: {"signature_input": v["signature_input"] + ';tag="proxy"'})
    bad("nonce-15", "A character too short.", "nonce", params=params(nonce='"' + "n" * 15 + '"'))
    bad("nonce-65", "A character too long.", "nonce", params=params(nonce='"' + "n" * 65 + '"'))
    bad("nonce-base64", "A character of plain base64.", "nonce", params=params(nonce='"AAECAwQFBgcICQoLDA0OD/"'))
    bad("nonce-padding", "Padding.", "nonce", params=params(nonce=f'"{NONCE}=="'))

    # Keys and algorithms
    for name, comment, keyid in (
        ("no-device", "No device.", calls.keyid.split("/")[0]), ("empty-device", "An empty device.", calls.keyid.split("/")[0] + "/"), ("device-upper-case", "Hex is in lower case.", calls.keyid[:-2] + "FF"), ("device-short", "31 digits.", calls.keyid[:-1]), ("primary-upper-case", "Hex is in lower case.", calls.keyid.replace("f8d1", "F8D1")), ("no-prefix", "The key's prefix is part of it.", calls.keyid.removeprefix("ed25519:")), ("nostr", "Accounts have Ed25519 keys.", "nostr:npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d/" + DEVICE), ("three-parts", "One slash too many.", calls.keyid + "/x"), ("space", "A space at the end.", calls.keyid + " "), ("empty", "Empty.", ""),
    ):
        bad(f"keyid-{name}", comment, "key_id", params=params(keyid=f'"{keyid}"'))
    bad("session-token-257", "A token of 257 characters.", "key_id", session=True, params=params(True, keyid='"' + "t" * 257 + '"'))
    bad("session-token-sign", "A token with another character.", "key_id", session=True, params=params(True, keyid='"a.b"'))
    bad("device-with-hmac", "A device signs with ed25519.", "algorithm", session=True, params=params(True, keyid=params()["keyid"]))
    bad("session-with-ed25519", "A session signs with hmac-sha256.", "algorithm", params=params(keyid=f'"{TOKEN}"'))
    bad("alg-unknown", "An algorithm that we do not take.", "algorithm", params=params(alg='"rsa-v1_5-sha256"'))
    bad("alg-upper-case", "Names of algorithms have a case.", "algorithm", params=params(alg='"ED25519"'))
    bad("alg-hmac-for-public-key", "A public key is no secret for HMAC.", "algorithm", change=lambda v: {"signature_input": v["signature_input"].replace('"ed25519";', '"hmac-sha256";')})

    # Bytes
    bad("signature-absent", "No Signature.", "signature_bytes", change=lambda v: {"signature": ""})
    bad("signature-other-label", "The labels differ.", "signature_bytes", change=lambda v: {"signature": v["signature"].replace("kez=", "sig=", 1)})
    bad("signature-63-bytes", "A byte too few.", "signature_bytes", change=lambda v: {"signature": f"kez=:{b64(bytes(63))}:"})
    bad("signature-65-bytes", "A byte too many.", "signature_bytes", change=lambda v: {"signature": f"kez=:{b64(bytes(65))}:"})
    bad("signature-string", "A string for a byte sequence.", "signature_bytes", change=lambda v: {"signature": v["signature"].replace(":", '"')})
    bad("signature-parameter", "A parameter says nothing here.", "signature_bytes", change=lambda v: {"signature": v["signature"] + ";x"})
    bad("signature-no-padding", "Base64 without its padding.", "signature_bytes", change=lambda v: {"signature": v["signature"].replace("=", "").replace("kez", "kez=")})
    bad("signature-hmac-length", "32 bytes under ed25519.", "signature_bytes", change=lambda v: {"signature": f"kez=:{b64(bytes(32))}:"})
    bad("session-signature-64-bytes", "64 bytes under hmac-sha256.", "signature_bytes", session=True, change=lambda v: {"signature": f"kez=:{b64(bytes(64))}:"})
    bad("session-signature-truncated", "A shortened HMAC.", "signature_bytes", session=True, change=lambda v: {"signature": f"kez=:{b64(base64.b64decode(v['signature'][5:-1])[:16])}:"})

    # Time
    bad("lifetime-61", "A second too long.", "lifetime", params=params(expires=str(CREATED + 61)))
    bad("lifetime-0", "No time at all.", "lifetime", params=params(expires=str(CREATED)))
    bad("lifetime-negative", "It ends before it begins.", "lifetime", params=params(expires=str(CREATED - 1)))
    bad("lifetime-extreme", "The widest integers.", "lifetime", params=params(created="-999999999999999", expires="999999999999999"))
    bad("created-6-ahead", "A second too far ahead.", "ahead", now="2026-05-24T23:59:54Z")
    bad("created-just-too-far-ahead", "A nanosecond too far ahead.", "ahead", now="2026-05-24T23:59:54.999999999Z")
    bad("expired", "A second too late.", "expired", now="2026-05-25T00:01:01Z")
    bad("just-expired", "A nanosecond too late.", "expired", now="2026-05-25T00:01:00.000000001Z")

    # Another request, another key
    for session in (False, True):
        kind = "session" if session else "device"
        for name, part in (("method", {"method": "DELETE"}), ("method-lower-case", {"method": "post"}), ("authority", {"authority": "kez.example"}), ("authority-port", {"authority": "kez.lat:8443"}), ("path", {"path": "/v1/blocks"}), ("path-slash", {"path": "/v1/conversations/"}), ("path-encoding", {"path": "/v1/%63onversations"}), ("query", {"query": "x=1"}), ("digest", {"content_digest": digest(b"{}")}), ("digest-same-in-other-words", {"content_digest": digest(BODY) + " , a"})):
            bad(f"{kind}-changed-{name}", "Signed for another request.", "bad_signature", POST, session=session, change=lambda v, part=part: {"request": {**v["request"], **part}})
        for name, old, new in (("created", f"created={CREATED}", f"created={CREATED + 1}"), ("expires", str(CREATED + 60), str(CREATED + 59)), ("nonce", NONCE, NONCE[:-1] + "x"), ("keyid", TOKEN if session else DEVICE, (TOKEN if session else DEVICE)[:-1] + "0"), ("order", '"@path" "@query"', '"@query" "@path"'), ("parameter-order", f";created={CREATED};expires={CREATED + 60}", f";expires={CREATED + 60};created={CREATED}")):
            bad(f"{kind}-changed-{name}", "The parameters are signed as well.", "bad_signature", POST, session=session, change=lambda v, old=old, new=new: {"signature_input": v["signature_input"].replace(old, new)})
    bad("device-other-key", "Another device's key.", "bad_signature", change=lambda v: {"public_key": g.public(g.signer("mallory")).hex()})
    bad("device-primary-key", "The primary's key is not the device's.", "bad_signature", change=lambda v: {"public_key": g.public(g.KEY).hex()})
    bad("session-other-key", "Another session's key.", "bad_signature", session=True, change=lambda v: {"session_key": bytes(32).hex()})
    bad("device-key-of-small-order", "The identity as a public key, and a signature of zeros.", "bad_signature", change=lambda v: {"public_key": "01" + "00" * 31, "signature": "kez=:AQ" + "A" * 84 + "==:"})
    bad("session-signature-zero", "An HMAC of zeros.", "bad_signature", session=True, change=lambda v: {"signature": f"kez=:{b64(bytes(32))}:"})
    bad("device-for-session-key", "A device's signature, checked as a session's.", "key_kind", change=lambda v: {"public_key": None, "session_key": calls.session_key.hex()})
    bad("session-for-device-key", "A session's signature, checked as a device's.", "key_kind", session=True, change=lambda v: {"session_key": None, "public_key": calls.device.verify_key.encode().hex()})
    line = '\n"@path": /v1/admin'
    bad("path-with-line-end", "A line end in a part would write a component of its own.", "request_parts", {**GET, "path": "/v1/inbox" + line})
    bad("query-with-line-end", "The same in the query.", "request_parts", {**GET, "query": "a" + line})
    bad("digest-with-line-end", "The same in the digest.", "request_parts", {**POST, "content_digest": digest(BODY) + ",\n x"})
    bad("path-not-ascii", "A path is ASCII on the wire.", "request_parts", {**GET, "path": "/v1/ä"})


# --- Sessions --------------------------------------------------------------------------------------------------------

LOW_ORDER = (
    ("0", 0), ("1", 1), ("order-8", int.from_bytes(bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little")),
    ("order-8-other", int.from_bytes(bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "little")),
    ("p-minus-1", 2**255 - 20), ("p", 2**255 - 19), ("p-plus-1", 2**255 - 18), ("0-high-bit", 2**255), ("p-high-bit", 2**256 - 19),
)


def scalarmult(secret, public):
    try:
        return nacl.bindings.crypto_scalarmult(secret, public)
    except nacl.exceptions.RuntimeError:
        return None  # all zero


def x25519(g):
    def case(name, comment, secret, peer, shared):
        secret, peer = bytes.fromhex(secret), bytes.fromhex(peer)
        found = scalarmult(secret, peer)
        assert found and shared == found.hex(), name
        g.put("x25519", "valid", name, comment, secret=secret.hex(), public_key=nacl.bindings.crypto_scalarmult_base(secret).hex(), peer=peer.hex(), shared=found.hex())

    rfc = " RFC 7748 (IETF Trust), section "
    case("rfc-7748-5-2-first", "The first test vector." + rfc + "5.2.", "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    case("rfc-7748-5-2-second", "The second test vector, whose u has its highest bit set." + rfc + "5.2.", "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d", "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493", "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")
    alice, bob = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
    alice_public, bob_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    case("rfc-7748-6-1-alice", "Alice's side." + rfc + "6.1.", alice, bob_public, shared)
    case("rfc-7748-6-1-bob", "Bob's side." + rfc + "6.1.", bob, alice_public, shared)
    nine = (9).to_bytes(32, "little").hex()
    case("rfc-7748-5-2-iterated-once", "The base point times itself." + rfc + "5.2.", nine, nine, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
    for name, u in LOW_ORDER:
        peer = u.to_bytes(32, "little")
        assert scalarmult(bytes.fromhex(alice), peer) is None, name
        g.put("x25519", "invalid", f"low-order-{name}", "A point of small order: the shared secret is all zero. RFC 7748 section 6.1.", secret=alice, peer=peer.hex())


def hkdf(ikm, salt, info):
    """RFC 5869 with SHA-256, 32 bytes: one round of the expansion."""
    return hmac.digest(hmac.digest(salt, ikm, "sha256"), info + b"\x01", "sha256")


def sessions(g):
    assert hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA))).hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"  # RFC 5869 appendix A.1

    def put(name, comment, client, server, primary, device):
        public = [nacl.bindings.crypto_scalarmult_base(secret) for secret in (client, server)]
        shared = scalarmult(client, public[1])
        assert shared == scalarmult(server, public[0])
        key = hkdf(shared, b"kez-chat/session/v1", public[0] + public[1] + primary + bytes.fromhex(device))
        g.put("session", "valid", name, comment + " protocol.md section 7.", client_secret=client.hex(), server_secret=server.hex(), client=b64url(public[0]), server=b64url(public[1]), primary="ed25519:" + primary.hex(), device_id=device, shared=shared.hex(), session_key=key.hex())
        return public[0], public[1]

    client, server, alice = b"\x44" * 32, b"\x45" * 32, g.public(g.KEY)
    public = put("first", "A device and a server.", client, server, alice, DEVICE)
    put("other-device", "Another device of the account has another key.", client, server, alice, DEVICE[:-1] + "e")
    put("other-account", "Another account has another key.", client, server, g.public(g.signer("mallory")), DEVICE)
    put("other-client-key", "Another opening has another key.", b"\x46" * 32, server, alice, DEVICE)
    put("roles-exchanged", "Who is the client counts.", server, client, alice, DEVICE)

    def bad(name, comment, client_key, server_key, peer):
        g.put("session", "invalid", name, comment + " protocol.md section 7.", secret=client.hex(), client=b64url(client_key), server=b64url(server_key), peer=b64url(peer), primary=g.ident(g.KEY), device_id=DEVICE)

    bad("peer-of-small-order", "A server's key of small order.", public[0], bytes(32), bytes(32))
    bad("peer-of-neither-role", "A key that the context does not name.", *public, nacl.bindings.crypto_scalarmult_base(b"\x47" * 32))
