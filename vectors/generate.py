"""Writes the vectors that are ours; the published ones (ORIGINS.md) it leaves alone.

    pip install pynacl rfc8785 zstandard==0.25.0 cryptography
    python vectors/generate.py           # rewrites our files
    python vectors/generate.py --check   # writes nothing, fails when a file differs

Deterministic: no clock, no randomness; keys come from SHA-256 of a name. Nothing here is copied from the Rust code,
so that the two can find each other's mistakes: signatures are PyNaCl's (libsodium), canonical JSON is the rfc8785
package's, and the crafted points come from the plain curve arithmetic below (slow, not constant time, for tests only).
The schema of each topic stands in README.md. Claims, sigchains, encodings and nostr signatures are in documents.py,
devices in devices.py, deletions and their receipts in leaving.py, MLS messages in mls.py, signed calls and sessions in
calls.py, end-to-end encryption in e2e.py and policy.py.
"""

import base64
import calendar
import datetime
import hashlib
import json
import pathlib
import sys

import nacl.bindings
import nacl.exceptions
import nacl.signing
import rfc8785

import calls
import devices
import documents
import e2e
import leaving
import mls

ROOT = pathlib.Path(__file__).resolve().parent
WORDS = (ROOT / "../crates/kez-core/src/phrase/english.txt").read_text("ascii").split()
FILES = {}


def put(topic, side, name, comment, /, **members):
    path = f"{topic}/{side}/{name}.json"
    assert path not in FILES, f"{path} is there twice"
    FILES[path] = json.dumps({"comment": comment, **members}, indent=2) + "\n"


def sha256(data):
    return hashlib.sha256(data).digest()


def signer(name):
    """A key pair that is the same in every run."""
    return nacl.signing.SigningKey(sha256(b"kez vectors " + name.encode()))


def public(key):
    return key.verify_key.encode()


# --- Edwards25519, RFC 8032 section 5.1 ------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P)


def mul(n, point):
    out = IDENTITY
    while n:
        if n & 1:
            out = add(out, point)
        point = add(point, point)
        n >>= 1
    return out


def negative(point):
    return (-point[0] % P, point[1])


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point, taking non-canonical encodings as well; None when there is none."""
    number = int.from_bytes(data, "little")
    y, sign = number % 2**255 % P, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_M1 % P
    if x * x % P != square:
        return None
    return (-x % P if x & 1 != sign else x, y)


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def torsion():
    """A point of order 8."""
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        if point:
            small = mul(L, point)
            if mul(4, small) != IDENTITY:
                return small
        y += 1


T8 = torsion()


def challenge(r, a, message):
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def equation(r, a, k, s, cofactor=1):
    """[c][S]B = [c]R + [c][k]A, by points; cofactor 1 is our rule."""
    return mul(cofactor, mul(s, BASE)) == mul(cofactor, add(r, mul(k, a)))


def flaws(public_key, message, signature):
    """Everything our rule (protocol.md section 3) holds against a signature; empty when it verifies."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    found = [] if s < L else ["S is not below L"]
    points = {}
    for name, data in (("A", public_key), ("R", r)):
        points[name] = decode(data)
        if points[name] is None:
            return found + [f"{name} is no point"]
        if encode(points[name]) != data:
            found.append(f"{name} is not canonical")
        if mul(8, points[name]) == IDENTITY:
            found.append(f"{name} is of small order")
    if not equation(points["R"], points["A"], challenge(r, public_key, message), s):
        found.append("the equation fails")
    return found


def sodium_accepts(public_key, message, signature):
    try:
        nacl.bindings.crypto_sign_open(signature + message, public_key)
        return True
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False


def first_message(label, fits):
    """The first message `label N` that `fits`."""
    return next(m for m in (f"{label} {n}".encode() for n in range(10_000)) if fits(m))


def craft(label, a, a_torsion, r, r_torsion, fits, hash_r=None, hash_a=None):
    """Signs as a signer who owns a and r and adds torsion to both, with the first message for which `fits(k)`.

    `hash_r`, `hash_a`: what goes into the hash when that is not the canonical encoding.
    """
    big_a = add(mul(a, BASE), mul(a_torsion, T8))
    big_r = add(mul(r, BASE), mul(r_torsion, T8))
    into_r, into_a = hash_r or encode(big_r), hash_a or encode(big_a)
    message = first_message(label, lambda m: fits(challenge(into_r, into_a, m)))
    k = challenge(into_r, into_a, message)
    return big_a, big_r, message, k, (r + k * a) % L


def scalar(name):
    return int.from_bytes(hashlib.sha512(name.encode()).digest(), "little") % L


def ed25519():
    def out(side, name, comment, key, message, signature, **more):
        found = flaws(key, message, signature)
        assert (not found) == (side == "valid"), (name, found)
        assert sodium_accepts(key, message, signature) == (side == "valid"), name
        put("ed25519", side, name, comment, public_key=key.hex(), message=message.hex(), signature=signature.hex(), **more)
        return found

    s32 = lambda n: n.to_bytes(32, "little")
    taming = 'The condition of case {} of "Taming the many EdDSAs"; the bytes are ours.'
    a, r = scalar("taming a"), scalar("taming r")

    # Cases 0 to 2: small order.
    big_a, big_r, m, k, s = craft("case 0", 0, 1, 0, 3, lambda k: (3 + k) % 8 == 0)
    assert equation(big_r, big_a, k, s) and s == 0
    out("invalid", "small-order-a-and-r", "S = 0, A and R of small order, and the equation holds. " + taming.format(0), encode(big_a), m, encode(big_r) + s32(s))
    big_a, big_r, m, k, s = craft("case 1", 0, 1, r, 3, lambda k: (3 + k) % 8 == 0)
    assert equation(big_r, big_a, k, s)
    out("invalid", "small-order-a", "A of small order, R of mixed order, and the equation holds: anybody can sign for such a key. " + taming.format(1), encode(big_a), m, encode(big_r) + s32(s))
    big_a, big_r, m, k, s = craft("case 2", a, 1, 0, 3, lambda k: (3 + k) % 8 == 0)
    assert equation(big_r, big_a, k, s)
    out("invalid", "small-order-r", "A of mixed order, R of small order, and the equation holds. " + taming.format(2), encode(big_a), m, encode(big_r) + s32(s))

    # Case 3: the torsion of R and of [k]A cancel out, so even the cofactorless equation holds.
    big_a, big_r, m, k, s = craft("case 3", a, 1, r, 3, lambda k: (3 + k) % 8 == 0)
    assert equation(big_r, big_a, k, s)
    out("valid", "mixed-order-a-and-r", "A and R of mixed order, torsion cancels out: the cofactorless equation holds and neither is of small order, so our rule takes it. " + taming.format(3), encode(big_a), m, encode(big_r) + s32(s))
    big_a, big_r, m, k, s = craft("mixed A", a, 1, r, 0, lambda k: k % 8 == 0)
    out("valid", "mixed-order-a", "A of mixed order with k a multiple of 8: the cofactorless equation holds. protocol.md section 3.", encode(big_a), m, encode(big_r) + s32(s))

    # Cases 4 and 5: only the cofactored equation holds.
    big_a, big_r, m, k, s = craft("case 4", a, 1, r, 3, lambda k: (3 + k) % 8 != 0)
    assert equation(big_r, big_a, k, s, 8) and not equation(big_r, big_a, k, s)
    out("invalid", "cofactored-only-mixed-a-and-r", "A and R of mixed order, only the cofactored equation holds. " + taming.format(4), encode(big_a), m, encode(big_r) + s32(s))
    big_a, big_r, m, k, s = craft("case 5", a, 1, r, 0, lambda k: k % 8 != 0 and (8 * k % L) % 8 != 0)
    assert equation(big_r, big_a, k, s, 8) and not equation(big_r, big_a, k, s)
    assert mul(8 * s, BASE) != add(mul(8, big_r), mul(8 * k % L, big_a))
    out("invalid", "cofactored-only-mixed-a", "A of mixed order, R in the prime-order group: the cofactored equation holds unless 8k is reduced first, ours does not. " + taming.format(5), encode(big_a), m, encode(big_r) + s32(s))

    # Cases 6 and 7, and S + L: S out of range.
    key = signer("ed25519")
    m = b"S out of range"
    good = key.sign(m).signature
    s = int.from_bytes(good[32:], "little")
    out("valid", "plain", "A plain signature, the original of the malleated ones. protocol.md section 3.", public(key), m, good, seed=key.encode().hex())
    for name, times, case in (("s-plus-l", 1, 6), ("s-plus-15-l-high-bit", 15, 7)):
        high = s + times * L
        assert times == 1 or high >> 255
        assert equation(decode(good[:32]), decode(public(key)), challenge(good[:32], public(key), m), high)
        out("invalid", name, f"S + {times} L: the equation holds, S is out of range. " + taming.format(case), public(key), m, good[:32] + s32(high))

    # Cases 8 to 11: non-canonical encodings; only small-order points have one that somebody can sign for.
    minus_zero = lambda y: (y | 1 << 255).to_bytes(32, "little")
    alternatives = {"y-plus-p": s32(P + 1), "negative-zero": minus_zero(1), "y-plus-p-negative-zero": minus_zero(P + 1)}
    for name, data in alternatives.items():
        assert decode(data)[1] == 1 and data != encode(IDENTITY)
        for case, into, how in ((8, encode(IDENTITY), "canonical"), (9, data, "sent")):
            big_a, _, m, k, s = craft(f"R {name} {how}", a, 1, 0, 0, lambda k: k % 8 == 0, hash_r=into)
            assert equation(IDENTITY, big_a, k, s)
            out("invalid", f"non-canonical-r-{name}-{how}-hashed", f"R is the identity in the form {name}, its {how} form hashed. " + taming.format(case), encode(big_a), m, data + s32(s))
        for case, into, how in ((10, encode(IDENTITY), "canonical"), (11, data, "sent")):
            _, big_r, m, k, s = craft(f"A {name} {how}", 0, 0, r, 0, lambda k: True, hash_a=into)
            assert equation(big_r, IDENTITY, k, s)
            out("invalid", f"non-canonical-a-{name}-{how}-hashed", f"A is the identity in the form {name}, its {how} form hashed. " + taming.format(case), data, m, encode(big_r) + s32(s))

    # Every point of small order as a key, in its canonical form.
    for n in range(8):
        point = mul(n, T8)
        big_r = mul(r, BASE)
        m = first_message(f"order 8 / {n}", lambda m: challenge(encode(big_r), encode(point), m) % 8 == 0)
        out("invalid", f"weak-key-{n}", f"A is {n} times the point of order 8: S = r signs any message whose k is a multiple of 8. protocol.md section 3.", encode(point), m, encode(big_r) + s32(r))
    m = b"anything at all"
    out("invalid", "s-zero-identity-a-and-r", "S = 0 with A and R the identity holds for every message. protocol.md section 3.", encode(IDENTITY), m, encode(IDENTITY) + bytes(32))
    out("invalid", "all-zero", "Key and signature of zero bytes only; y = 0 is a point of order 4. protocol.md section 3.", bytes(32), b"", bytes(64))
    out("invalid", "s-equals-l", "S = L instead of 0 with A and R the identity. RFC 8032 section 5.1.7.", encode(IDENTITY), m, encode(IDENTITY) + s32(L))

    # Plain forgeries.
    m = b"the message that was signed"
    good = key.sign(m).signature
    other = signer("somebody else")
    no_point = next(s32(y) for y in range(2, 99) if decode(s32(y)) is None)
    high_y = s32(P + next(y for y in range(3, 19) if decode(s32(y)) and mul(8, decode(s32(y))) != IDENTITY))
    flip = lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for name, comment, k, msg, sig in (
        ("wrong-message", "A good signature beside another message.", public(key), b"the message that was not signed", good),
        ("empty-message-instead", "A good signature beside the empty message.", public(key), b"", good),
        ("wrong-key", "A good signature beside another key.", public(other), m, good),
        ("flipped-bit-in-r", "One bit of R is flipped.", public(key), m, flip(good, 0)),
        ("flipped-bit-in-s", "One bit of S is flipped.", public(key), m, flip(good, 32)),
        ("flipped-bit-in-a", "One bit of the key is flipped.", flip(public(key), 0), m, good),
        ("flipped-sign-of-a", "The sign bit of the key is flipped.", public(key)[:31] + bytes([public(key)[31] ^ 128]), m, good),
        ("negated-s", "S is replaced by L - S.", public(key), m, good[:32] + s32(L - int.from_bytes(good[32:], "little"))),
        ("s-before-r", "S and R are swapped.", public(key), m, good[32:] + good[:32]),
        ("s-big-endian", "S is in big-endian order.", public(key), m, good[:32] + good[:31:-1]),
        ("a-is-no-point", "The key is not on the curve.", no_point, m, good),
        ("r-is-no-point", "R is not on the curve.", public(key), m, no_point + good[32:]),
        ("a-with-y-above-p", "The key has y >= p and is not of small order.", high_y, m, good),
        ("r-with-y-above-p", "R has y >= p and is not of small order.", public(key), m, high_y + good[32:]),
        ("pre-hashed-message", "Signed over the SHA-512 of the message.", public(key), m, key.sign(hashlib.sha512(m).digest()).signature),
        ("sha256-of-message", "Signed over the SHA-256 of the message.", public(key), m, key.sign(sha256(m)).signature),
    ):
        out("invalid", name, comment + " RFC 8032 section 5.1.7.", k, msg, sig)
    # Ed25519ph: the same hash with a domain in front, RFC 8032 section 5.1.
    h = hashlib.sha512(key.encode()).digest()
    secret = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    domain = b"SigEd25519 no Ed25519 collisions" + b"\x01\x00"
    digest = hashlib.sha512(m).digest()
    nonce = int.from_bytes(hashlib.sha512(domain + h[32:] + digest).digest(), "little") % L
    big_r = encode(mul(nonce, BASE))
    k = int.from_bytes(hashlib.sha512(domain + big_r + public(key) + digest).digest(), "little") % L
    out("invalid", "ed25519ph", "A correct Ed25519ph signature is no Ed25519 signature. RFC 8032 section 5.1.", public(key), m, big_r + s32((nonce + k * secret) % L))
    domain = b"SigEd25519 no Ed25519 collisions" + b"\x00\x03kez"
    nonce = int.from_bytes(hashlib.sha512(domain + h[32:] + m).digest(), "little") % L
    big_r = encode(mul(nonce, BASE))
    k = int.from_bytes(hashlib.sha512(domain + big_r + public(key) + m).digest(), "little") % L
    out("invalid", "ed25519ctx", "A correct Ed25519ctx signature is no Ed25519 signature. RFC 8032 section 5.1.", public(key), m, big_r + s32((nonce + k * secret) % L))


# --- JSON ------------------------------------------------------------------------------------------------------------

NUMBER = "$serde_json::private::Number"


def jcs():
    def out(name, comment, text, strict, canonical=None):
        put("jcs", "valid", name, comment, input=text, canonical=canonical or rfc8785.dumps(json.loads(text)).decode(), strict=strict)

    out("empty-object", "The empty object with white space. RFC 8785 section 3.2.1.", " {\t\r\n} ", True)
    out("empty-array", "The empty array with white space. RFC 8785 section 3.2.1.", " [\n] ", True)
    out("top-level-string", "A document that is a string. RFC 8785 section 3.2.2.", '"\\u0041"', True)
    out("top-level-number", "A document that is a number. RFC 8785 section 3.2.2.", " 12 ", True)
    out("literals", "The three literals. RFC 8785 section 3.2.2.1.", "[ true , false , null ]", True)
    out("short-escapes", "The escapes JCS keeps in their two-character form. RFC 8785 section 3.2.2.2.", '"\\u0008\\u0009\\u000a\\u000c\\u000d\\u0022\\u005c"', True)
    out("control-escapes-lower-case", "Other controls become lower-case \\u00xx. RFC 8785 section 3.2.2.2.", json.dumps("".join(map(chr, range(32)))).replace("\\u001f", "\\u001F"), True)
    out("solidus-unescaped", "The solidus loses its escape. RFC 8785 section 3.2.2.2.", '"\\/ \\u002F"', True)
    out("delete-and-c1-raw", "U+007F and the C1 controls stand raw. RFC 8785 section 3.2.2.2.", '"\\u007f\\u0080\\u009f"', True)
    out("line-separators-raw", "U+2028 and U+2029 stand raw. RFC 8785 section 3.2.2.2.", '"\\u2028\\u2029"', True)
    out("html-characters-raw", "Characters that HTML escapers touch stand raw. RFC 8785 section 3.2.2.2.", '"\\u003cscript>\\u0026\\u0027"', True)
    out("surrogate-pair-joined", "An escaped surrogate pair becomes one character. RFC 8785 section 3.2.2.2.", '"\\ud83d\\uDE02"', True)
    out("not-normalised", "Composed and decomposed forms stay two names. RFC 8785 section 3.1.", '{"\\u00e9":1,"e\\u0301":2}', True)
    out("sort-utf-16-code-units", "U+10000 (D800 DC00) sorts before U+FB33 and U+FF61: UTF-16 order, not code point order. RFC 8785 section 3.2.3.", '{"\\uff61":1,"\\ud800\\udc00":2,"\\ufb33":3,"\\ue000":4,"\\ud7ff":5}', True)
    out("sort-prefix-first", "A name sorts before the names it begins. RFC 8785 section 3.2.3.", '{"ab":1,"a":2,"":3,"a\\u0000":4,"a b":5}', True)
    out("sort-upper-case-first", "Code unit order has upper case and digits first. RFC 8785 section 3.2.3.", '{"b":1,"B":2,"a":3,"_":4,"1":5,"10":6,"2":7,"-":8}', True)
    out("sort-by-unescaped-name", "Names sort by what they mean, not by their spelling. RFC 8785 section 3.2.3.", '{"\\u0062":1,"a":2,"\\u0063":3}', True)
    out("sort-each-level", "Sorting reaches objects in arrays; arrays keep their order. RFC 8785 section 3.2.3.", '[{"b":{"d":1,"c":2},"a":[{"z":1,"y":2},0]},3,1,2]', True)
    out("integers", "Integers up to the I-JSON limits. RFC 8785 section 3.2.2.3.", "[0,-1,10,9007199254740991,-9007199254740991,1000000000000000]", True)
    out("serde-json-number-object", "The private name of serde_json is a plain member. protocol.md section 2.", json.dumps({NUMBER: "12"}), True)
    out("minus-zero", "Minus zero is written 0; the strict reader refuses it. RFC 8785 section 3.2.2.3.", "[-0,-0.0]", False, "[0,0]")
    out("fraction-that-is-whole", "1.0 is written 1; the strict reader refuses fractions. RFC 8785 section 3.2.2.3.", "[1.0,10.50,1e2]", False)
    out("exponent-thresholds", "Where the exponent form begins at either end. RFC 8785 section 3.2.2.3.", "[1e21,1e20,1e-6,1e-7,123456789012345680000]", False, "[1e+21,100000000000000000000,0.000001,1e-7,123456789012345680000]")
    out("integer-beyond-2-53", "An integer beyond 2^53 - 1 is written as the nearest double; the strict reader refuses it. RFC 8785 section 3.2.2.3.", "[9007199254740992,9007199254740993,-9007199254740993]", False, "[9007199254740992,9007199254740992,-9007199254740992]")


def nested(depth, inner=b"", opening=b"[", closing=b"]"):
    return opening * depth + inner + closing * depth


def strict_json():
    def good(name, comment, data):
        data = data if isinstance(data, bytes) else data.encode()
        put("json", "valid", name, comment, input_base64=base64.b64encode(data).decode(), canonical=rfc8785.dumps(json.loads(data)).decode())

    def bad(name, comment, data):
        data = data if isinstance(data, bytes) else data.encode()
        put("json", "invalid", name, comment, input_base64=base64.b64encode(data).decode(), error="malformed")

    ours, grammar, ijson, utf8 = " protocol.md section 2.", " RFC 8259.", " RFC 7493 section 2.", " RFC 3629 section 3."

    good("plain-object", "Members in any order, white space of all four kinds." + grammar, '\r\n{ "b" :\t1 , "a" : [ ] }\n')
    for name, text in (("string", '"text"'), ("number", "12"), ("true", "true"), ("false", "false"), ("null", "null"), ("empty-string", '""')):
        good(f"top-level-{name}", "A document need not be an object." + grammar, text)
    good("integer-max", "2^53 - 1 is the largest integer." + ours, "[9007199254740991]")
    good("integer-min", "-(2^53 - 1) is the smallest integer." + ours, "[-9007199254740991]")
    good("zero", "Zero." + ours, "[0]")
    good("depth-16-arrays", "16 nested containers are the most; the outermost counts 1." + ours, nested(16))
    good("depth-16-arrays-with-scalar", "A scalar adds no depth." + ours, nested(16, b"0"))
    good("depth-16-objects", "16 nested objects." + ours, nested(15, b"{}", b'{"a":', b"}"))
    good("depth-16-mixed", "Objects and arrays count alike." + ours, nested(8, b"", b'[{"a":', b"}]").replace(b':}', b":0}", 1))
    good("many-siblings-at-depth-2", "Depth is nesting, not the number of containers." + ours, "[" + ",".join(["[]"] * 40) + "]")
    good("private-number-object", "The private name of serde_json's arbitrary_precision is a plain member." + ours, json.dumps({NUMBER: "12"}))
    good("private-number-object-nested", "The same inside an array, with a text that is no number." + ours, json.dumps([{NUMBER: "1e400"}]))
    good("private-raw-value-object", "The private name of serde_json's raw_value is a plain member." + ours, '{"$serde_json::private::RawValue":"12"}')
    good("private-number-escaped", "The same name spelt with an escape." + ours, '{"\\u0024serde_json::private::Number":"12"}')
    good("proto-member", "Names that are special in JavaScript are plain members." + ours, '{"__proto__":1,"constructor":2,"toString":3}')
    good("sort-utf-16", "Order is by UTF-16 code units: an emoji before U+FF61." + " RFC 8785 section 3.2.3.", '{"\\uff61":1,"\U0001f602":2,"\\ufb33":3,"z":4}')
    good("same-name-in-siblings", "Two objects may use one name." + ijson, '[{"a":1},{"a":2},{"b":{"a":3},"a":4}]')
    good("names-differ-in-case", "Names differ in case." + ijson, '{"a":1,"A":2}')
    good("names-differ-in-normal-form", "Composed and decomposed names are two names." + ijson, '{"\\u00e9":1,"e\\u0301":2}')
    good("empty-name", "The empty name is a name." + grammar, '{"":1}')
    good("surrogate-pair-escaped", "An escaped pair is one character." + grammar, '["\\uD83D\\ude02"]')
    good("nul-escape", "U+0000 may stand escaped, in values and names." + grammar, '{"a\\u0000b":"\\u0000"}')
    good("delete-raw", "U+007F may stand raw." + grammar, '["\x7f"]')
    good("c1-raw", "C1 controls may stand raw." + grammar, '["\u0080\u009f"]')
    good("line-separators-raw", "U+2028 and U+2029 may stand raw." + grammar, '["\u2028\u2029"]')
    good("feff-inside-string", "U+FEFF inside a string is a character, not a byte order mark." + grammar, '["a\ufeff"]')
    good("every-escape", "Every escape of the grammar." + grammar, '["\\"\\\\\\/\\b\\f\\n\\r\\t\\u00E9"]')
    good("private-use", "Private-use characters are characters." + ijson, '["\ue000\uf8ff\U000f0000\U0010fffd"]')
    good("next-to-noncharacters", "The neighbours of the noncharacters." + ijson, '["\ufdcf\ufdf0\ufffd\U00010000\U0001fffd"]')
    good("utf8-of-each-length", "Two, three and four byte UTF-8." + utf8, '["\u00e9\u20ac\U0001f602"]')
    good("long-string", "A string of 4,096 bytes." + grammar, '["' + "x" * 4096 + '"]')
    good("number-in-string", "What looks like a number in a string is a string." + ours, '["1e400","-0","9007199254740992"]')
    good("comment-in-string", "What looks like a comment in a string is a string." + grammar, '["/* a */ // b"]')

    bad("duplicate-member", "The same member twice." + ijson + "3.", '{"a":1,"a":2}')
    bad("duplicate-member-same-value", "Twice with one value." + ijson + "3.", '{"a":1,"a":1}')
    bad("duplicate-member-escaped", "The second spelling uses an escape." + ijson + "3.", '{"a":1,"\\u0061":2}')
    bad("duplicate-member-solidus", "Escaped and plain solidus." + ijson + "3.", '{"a/b":1,"a\\/b":2}')
    bad("duplicate-member-surrogates", "An emoji raw and as an escaped pair." + ijson + "3.", '{"\U0001f602":1,"\\ud83d\\ude02":2}')
    bad("duplicate-member-escape-case", "One escape in upper and lower case hex." + ijson + "3.", '{"\\u00e9":1,"\\u00E9":2}')
    bad("duplicate-member-nested", "Twice in an inner object." + ijson + "3.", '{"x":[{"y":{"a":1,"b":2,"a":3}}]}')
    bad("duplicate-member-apart", "Twice with others between." + ijson + "3.", '{"a":1,"b":2,"c":3,"d":4,"a":5}')
    bad("duplicate-member-empty-name", "The empty name twice." + ijson + "3.", '{"":1,"":2}')
    bad("duplicate-member-proto", "A name special in JavaScript twice." + ijson + "3.", '{"__proto__":1,"__proto__":2}')
    bad("duplicate-private-number", "serde_json's private name twice." + ijson + "3.", f'{{"{NUMBER}":"1","{NUMBER}":"2"}}')
    for name, text in (
        ("integer-2-53", "9007199254740992"), ("integer-minus-2-53", "-9007199254740992"), ("integer-2-53-plus-1", "9007199254740993"),
        ("integer-i64-max", "9223372036854775807"), ("integer-i64-min", "-9223372036854775808"), ("integer-u64-max", "18446744073709551615"),
        ("integer-u64-max-plus-1", "18446744073709551616"), ("integer-400-digits", "1" + "0" * 399),
    ):
        bad(name, "An integer beyond 2^53 - 1 in size." + ours, f"[{text}]")
    for name, text in (
        ("fraction", "1.5"), ("fraction-zero", "1.0"), ("fraction-of-zero", "0.0"), ("fraction-negative", "-0.5"), ("fraction-tiny", "0." + "0" * 400 + "1"),
        ("exponent", "1e2"), ("exponent-upper-case", "1E2"), ("exponent-plus", "1e+2"), ("exponent-minus", "1e-2"), ("exponent-zero", "0e0"),
        ("exponent-one-e0", "1e0"), ("exponent-1e400", "1E400"), ("exponent-minus-1e400", "-1E400"), ("fraction-and-exponent", "1.5e1"),
    ):
        bad(name, "Fractions and exponents are refused, whatever their value." + ours, f"[{text}]")
    bad("minus-zero", "-0 is no integer of ours: JCS would write it as 0." + ours, "[-0]")
    bad("minus-zero-top-level", "The same as a document." + ours, "-0")
    bad("fraction-top-level", "A fraction as a document." + ours, "0.5")
    for name, text in (
        ("leading-zero", "01"), ("leading-zeros", "00"), ("leading-zero-negative", "-01"), ("plus-sign", "+1"), ("minus-alone", "-"), ("double-minus", "--1"),
        ("leading-dot", ".5"), ("trailing-dot", "1."), ("hex-number", "0x1F"), ("octal-number", "0o7"), ("underscore-in-number", "1_000"), ("exponent-without-digits", "1e"),
        ("nan", "NaN"), ("infinity", "Infinity"), ("minus-infinity", "-Infinity"), ("nan-lower-case", "nan"), ("fullwidth-digit", "\uff11"), ("minus-sign-u2212", "\u22121"),
        ("bigint-suffix", "1n"), ("space-in-number", "1 2"), ("minus-space", "- 1"),
    ):
        bad(name, "No JSON number." + grammar, f"[{text}]")
    for name, text in (("true-capital", "True"), ("null-cut", "nul"), ("true-long", "truee"), ("undefined", "undefined"), ("bare-word", "hello"), ("null-upper-case", "NULL")):
        bad(name, "No JSON literal." + grammar, f"[{text}]")
    for name, text in (
        ("lone-high-surrogate", '["\\ud83d"]'), ("lone-low-surrogate", '["\\ude02"]'), ("reversed-pair", '["\\ude02\\ud83d"]'), ("high-high-surrogates", '["\\ud83d\\ud83d\\ude02"]'),
        ("high-surrogate-then-text", '["\\ud83dx"]'), ("high-surrogate-then-escape", '["\\ud83d\\n"]'), ("lone-surrogate-in-name", '{"\\ud800":1}'), ("lone-surrogate-last", '["\\udbff"]'), ("pair-then-low", '["\\ud83d\\ude02\\ude02"]'),
        ("high-surrogate-then-escaped-backslash", '["\\ud83d\\\\ude02"]'),
    ):
        bad(name, "Surrogates come in pairs only." + ijson + "1.", text)
    for point in (0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x1FFFF, 0x10FFFE, 0x10FFFF):
        char = chr(point)
        bad(f"noncharacter-{point:x}-raw", f"U+{point:04X} is a noncharacter." + ijson + "1.", f'["{char}"]')
        bad(f"noncharacter-{point:x}-escaped", f"U+{point:04X} is a noncharacter, spelt with escapes." + ijson + "1.", json.dumps([char]))
    bad("noncharacter-in-name", "Member names are strings too." + ijson + "1.", '{"\\uffff":1}')
    bad("noncharacter-in-name-raw", "Member names are strings too." + ijson + "1.", '{"\ufdd0":1}')
    bad("bom", "A byte order mark." + ijson + "1.", b"\xef\xbb\xbf{}")
    bad("bom-after-white-space", "U+FEFF outside strings is no white space." + grammar, b" \xef\xbb\xbf{}")
    bad("bom-at-end", "U+FEFF after the document." + grammar, b"{}\xef\xbb\xbf")
    bad("bom-only", "A byte order mark and nothing else." + ijson + "1.", b"\xef\xbb\xbf")
    bad("bom-utf-16", "UTF-16 with a byte order mark." + ijson + "1.", b"\xff\xfe{\0}\0")
    bad("utf-16-le", "UTF-16 without a byte order mark." + ijson + "1.", "[1]".encode("utf-16-le"))
    bad("utf-16-be", "UTF-16 in big-endian order." + ijson + "1.", "[1]".encode("utf-16-be"))
    bad("utf-32-le", "UTF-32." + ijson + "1.", "[1]".encode("utf-32-le"))
    bad("empty", "No bytes at all." + grammar, b"")
    bad("white-space-only", "White space and no document." + grammar, b" \t\r\n")
    for name, data in (
        ("trailing-byte", b"{}x"), ("trailing-nul", b"{}\0"), ("trailing-comma-after", b"{},"), ("trailing-brace", b"{}}"), ("trailing-bracket", b"[]]"), ("two-documents", b"{}{}"), ("two-documents-lines", b"{}\n{}\n"),
        ("two-numbers", b"1 2"), ("trailing-comment", b"{}//"), ("trailing-backtick", b"{}`"), ("leading-nul", b"\0{}"), ("leading-garbage", b"x{}"), ("record-separator", b"\x1e{}\n"), ("xssi-prefix", b")]}'\n{}"),
    ):
        bad(name, "A document and nothing else." + ours, data)
    for name, text in (
        ("trailing-comma-object", '{"a":1,}'), ("trailing-comma-array", "[1,]"), ("double-comma", "[1,,2]"), ("leading-comma", "[,1]"), ("comma-only", "[,]"), ("missing-comma", "[1 2]"), ("missing-comma-object", '{"a":1 "b":2}'),
        ("missing-colon", '{"a" 1}'), ("double-colon", '{"a"::1}'), ("missing-value", '{"a":}'), ("missing-name", "{:1}"), ("name-only", '{"a"}'), ("comma-for-colon", '{"a",1}'), ("colon-in-array", '["a":1]'), ("equals-for-colon", '{"a"=1}'),
        ("unquoted-name", "{a:1}"), ("number-as-name", "{1:1}"), ("null-as-name", "{null:1}"), ("single-quotes", "{'a':'b'}"), ("single-quoted-string", "['a']"), ("backtick-string", "[`a`]"), ("smart-quotes", "[\u201ca\u201d]"),
        ("comment-block", "[1/* */]"), ("comment-line", "[1//\n]"), ("comment-hash", "[1#\n]"), ("comment-only", "/**/"),
        ("unclosed-array", "[1"), ("unclosed-object", '{"a":1'), ("unclosed-string", '["a'), ("unclosed-escape", '["a\\'), ("unopened-array", "1]"), ("mismatched-brackets", "[1}"), ("mismatched-braces", '{"a":1]'), ("opening-only", "["), ("brace-only", "{"), ("quote-only", '"'),
    ):
        bad(name, "Broken structure." + grammar, text)
    for name, text in (
        ("escape-x", '["\\x41"]'), ("escape-a", '["\\a"]'), ("escape-zero", '["\\0"]'), ("escape-single-quote", "[\"\\'\"]"), ("escape-upper-u", '["\\U0041"]'), ("escape-u-short", '["\\u004"]'), ("escape-u-no-hex", '["\\u00g1"]'), ("escape-u-braces", '["\\u{41}"]'),
        ("escape-u-sign", '["\\u+041"]'), ("escape-newline", '["\\\n"]'), ("escape-outside-string", "[\\n]"), ("escape-u-at-end", '["\\u"]'), ("escape-u-space", '["\\u 041"]'),
    ):
        bad(name, "No escape of the grammar." + grammar, text)
    for code in (0x00, 0x01, 0x08, 0x09, 0x0A, 0x0D, 0x1F):
        bad(f"control-{code:02x}-in-string", f"U+{code:04X} must be escaped in strings." + grammar, bytes([0x5B, 0x22, 0x61, code, 0x22, 0x5D]))
    bad("control-in-name", "A raw newline in a member name." + grammar, '{"a\n":1}')
    for name, char in (("form-feed", "\f"), ("vertical-tab", "\v"), ("no-break-space", "\u00a0"), ("next-line", "\u0085"), ("line-separator", "\u2028"), ("ideographic-space", "\u3000"), ("zero-width-space", "\u200b"), ("nul", "\0")):
        bad(f"white-space-{name}", "White space is space, tab, line feed and carriage return." + grammar, f"[1,{char}2]")
    for name, data in (
        ("overlong-two-bytes", b"\xc0\xaf"), ("overlong-nul", b"\xc0\x80"), ("overlong-quote", b"\xc0\xa2"), ("overlong-three-bytes", b"\xe0\x80\xaf"), ("overlong-four-bytes", b"\xf0\x80\x80\xaf"), ("overlong-four-bytes-bmp", b"\xf0\x8f\xbf\xbf"),
        ("truncated-two-bytes", b"\xc3"), ("truncated-three-bytes", b"\xe2\x82"), ("truncated-four-bytes", b"\xf0\x9f\x98"), ("lone-continuation", b"\x80"), ("cesu-pair", b"\xed\xa0\xbd\xed\xb8\x82"), ("high-surrogate-encoded", b"\xed\xa0\xbd"),
        ("low-surrogate-encoded", b"\xed\xb8\x82"), ("beyond-10ffff", b"\xf4\x90\x80\x80"), ("byte-f5", b"\xf5\x80\x80\x80"), ("byte-fe", b"\xfe"), ("byte-ff", b"\xff"), ("five-bytes", b"\xf8\x88\x80\x80\x80"), ("latin-1", b"caf\xe9"),
    ):
        bad(f"utf-8-{name}", "Bad UTF-8." + utf8, b'["' + data + b'"]')
    bad("utf-8-bad-in-name", "Bad UTF-8 in a member name." + utf8, b'{"\xff":1}')
    bad("utf-8-bad-outside-string", "Bad UTF-8 between tokens." + utf8, b"[\xff]")
    bad("utf-8-truncated-at-end", "The input ends inside a character." + utf8, b'["\xe2\x82')
    bad("depth-17-arrays", "17 nested arrays." + ours, nested(17))
    bad("depth-17-objects", "17 nested objects." + ours, nested(16, b"{}", b'{"a":', b"}"))
    bad("depth-17-mixed", "17 containers of both kinds." + ours, nested(8, b"[]", b'[{"a":', b"}]"))
    bad("depth-17-second-branch", "The deep branch is the second." + ours, b"[[]," + nested(16) + b"]")
    bad("depth-17-unclosed", "The limit counts before the structure is complete." + ours, b"[" * 17)
    bad("depth-10000", "Depth that would exhaust a stack." + ours, nested(10_000))
    bad("depth-10000-unclosed", "The same, never closed." + ours, b"[" * 10_000)


# --- Names and times -------------------------------------------------------------------------------------------------

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32(prefix, data, constant=1, pad=0):
    """BIP-173 (`constant` 1) or BIP-350 (0x2bc830a3); `pad` fills the left-over bits, which must be zero."""
    bits = int.from_bytes(data, "big")
    spare = -len(data) * 8 % 5
    bits, count = bits << spare | pad, (len(data) * 8 + spare) // 5
    values = [bits >> 5 * i & 31 for i in reversed(range(count))]
    state = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values + [0] * 6:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= generator if top >> i & 1 else 0
    state ^= constant
    return prefix + "1" + "".join(BECH32[v] for v in values + [state >> 5 * (5 - i) & 31 for i in range(6)])


NPUBS = {  # NIP-19, "Bare keys and ids" and "Examples": the hex form and the text it must give.
    "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d": "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6",
    "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e": "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg",
}


def identifier():
    here = " protocol.md section 1."

    def good(name, comment, text, normal=None):
        put("identifier", "valid", name, comment + here, input=text, normal=normal or text)

    def bad(name, comment, text):
        put("identifier", "invalid", name, comment + here, input=text, error="bad_identifier")

    key = public(nacl.signing.SigningKey(b"\x42" * 32)).hex()
    good("ed25519", "An Ed25519 key: 64 lower-case hex digits.", f"ed25519:{key}")
    good("ed25519-upper-case-system", "The system folds to lower case, the hex stays.", f"ED25519:{key}", f"ed25519:{key}")
    for number, (hexed, npub) in enumerate(NPUBS.items()):
        assert bech32("npub", bytes.fromhex(hexed)) == npub
        good(f"nostr-nip-19-{number}", f"The npub of {hexed[:8]}... given in NIP-19.", f"nostr:{npub}")
    npub = NPUBS["7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"]
    good("nostr-upper-case-system", "The system folds, the npub does not.", f"Nostr:{npub}", f"nostr:{npub}")
    good("github", "A GitHub name in normal form.", "github:jason")
    good("github-upper-case", "GitHub names fold to lower case.", "github:JaSon-X", "github:jason-x")
    good("dns", "A domain in normal form.", "dns:example.com")
    good("dns-upper-case", "Domains fold to lower case.", "dns:Example.COM", "dns:example.com")
    good("dns-trailing-dot", "The trailing dot goes.", "dns:example.com.", "dns:example.com")
    good("dns-upper-case-trailing-dot", "Both at once.", "DNS:Chat.Example.Com.", "dns:chat.example.com")
    good("bluesky", "A Bluesky handle in normal form.", "bluesky:alice.bsky.social")
    good("bluesky-upper-case", "Bluesky handles fold to lower case.", "bluesky:Alice.BSKY.social", "bluesky:alice.bsky.social")
    good("did-plc", "Only the first colon splits.", "did:plc:z72i7hdynmk6r22z27h6tvur")
    good("did-web-case-kept", "What follows did: keeps its case.", "did:web:Example.com:User")
    good("ens", "An ENS name.", "ens:vitalik.eth")
    good("ens-case-kept", "ENS names are not folded.", "ens:Vitalik.eth")
    good("ap", "An ActivityPub account in normal form.", "ap:alice@mastodon.social")
    good("ap-leading-at", "The leading @ goes.", "ap:@alice@mastodon.social", "ap:alice@mastodon.social")
    good("ap-upper-case", "ActivityPub accounts fold to lower case.", "ap:@Alice@Mastodon.Social", "ap:alice@mastodon.social")
    good("mastodon-alias", "mastodon: is another name of ap:.", "mastodon:alice@mastodon.social", "ap:alice@mastodon.social")
    good("mastodon-alias-leading-at", "The alias takes the normal form of ap.", "MASTODON:@Alice@Mastodon.Social", "ap:alice@mastodon.social")
    good("farcaster", "A Farcaster name.", "farcaster:dwr")
    good("farcaster-case-kept", "Farcaster names are not folded.", "farcaster:Dwr.eth")
    good("web", "A web address, with colons and case of its own.", "web:https://Example.com/~Alice")
    good("unknown-system", "Unknown systems are kept as they are.", "matrix:@Alice:Example.org")
    good("unknown-system-upper-case", "The system folds, the value does not.", "X-Thing:Some Value".replace(" ", "-"), "x-thing:Some-Value")
    good("unknown-system-non-ascii-value", "Values may hold any character that is no white space and no control.", "matrix:\u00e4lice\U0001f602")
    good("value-of-colons", "Only the first colon splits.", "matrix:::")

    for name, comment, text in (
        ("empty", "Nothing.", ""), ("colon-only", "Two empty parts.", ":"), ("no-colon", "No system.", "alice"), ("key-without-system", "The prefix is always present.", key), ("npub-without-system", "The prefix is always present.", npub),
        ("empty-system", "An empty system.", ":alice"), ("empty-value", "An empty value.", "github:"), ("dns-dot-only", "Nothing is left of the domain.", "dns:."), ("ap-at-only", "Nothing is left of the account.", "ap:@"), ("mastodon-empty", "The alias with an empty value.", "mastodon:"),
        ("space-inside", "White space.", "github:ja son"), ("space-before", "White space.", " github:jason"), ("space-after", "White space.", "github:jason "), ("space-after-colon", "White space.", "github: jason"), ("space-in-system", "White space.", "git hub:jason"),
        ("newline-after", "White space.", "github:jason\n"), ("tab-inside", "White space.", "matrix:a\tb"), ("no-break-space", "White space beyond ASCII.", "matrix:a\u00a0b"), ("ideographic-space", "White space beyond ASCII.", "matrix:a\u3000b"), ("line-separator", "White space beyond ASCII.", "matrix:a\u2028b"),
        ("nul", "A control.", "matrix:a\0b"), ("escape", "A control.", "matrix:a\x1b[31mb"), ("delete", "A control.", "matrix:a\x7fb"), ("c1-control", "A control beyond ASCII.", "matrix:a\u0085b"), ("control-in-system", "A control.", "mat\x01rix:a"), ("space-only-value", "White space only.", "github: "),
        ("ed25519-upper-case-hex", "Upper-case hex is refused, not folded.", f"ed25519:{key.upper()}"), ("ed25519-one-upper-case-digit", "One upper-case digit is enough.", f"ed25519:{key[:4]}" + key[4:].replace("f", "F", 1)),
        ("ed25519-63-digits", "One digit short.", f"ed25519:{key[:-1]}"), ("ed25519-65-digits", "One digit long.", f"ed25519:{key}0"), ("ed25519-62-digits", "One byte short.", f"ed25519:{key[:-2]}"), ("ed25519-66-digits", "One byte long.", f"ed25519:{key}00"), ("ed25519-no-hex", "A letter beyond f.", f"ed25519:{key[:-1]}g"),
        ("ed25519-0x", "No 0x.", f"ed25519:0x{key}"), ("ed25519-empty", "No key.", "ed25519:"), ("ed25519-base64", "No base64.", "ed25519:" + base64.b64encode(bytes.fromhex(key)).decode()), ("ed25519-npub", "An npub under the wrong system.", f"ed25519:{npub}"), ("ed25519-fullwidth-digit", "A digit beyond ASCII.", f"ed25519:{key[:-1]}\uff12"),
        ("nostr-hex", "Nostr keys are npubs here.", "nostr:7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"), ("nostr-upper-case", "Upper-case bech32 is refused.", f"nostr:{npub.upper()}"), ("nostr-mixed-case", "Mixed case is refused.", f"nostr:{npub[:9]}{npub[9:].upper()}"),
        ("nostr-broken-checksum", "The last character of an NIP-19 npub is changed.", f"nostr:{npub[:-1]}q"), ("nostr-swapped-characters", "Two neighbouring characters of an NIP-19 npub are swapped.", f"nostr:{npub[:10]}{npub[11]}{npub[10]}{npub[12:]}"),
        ("nostr-changed-data", "One data character of an NIP-19 npub is changed.", f"nostr:{npub[:20]}{'q' if npub[20] != 'q' else 'p'}{npub[21:]}"), ("nostr-cut", "The last character of an NIP-19 npub is missing.", f"nostr:{npub[:-1]}"), ("nostr-appended", "A character more.", f"nostr:{npub}q"),
        ("nostr-bech32m", "A bech32m checksum (BIP-350).", "nostr:" + bech32("npub", bytes.fromhex(key), 0x2BC830A3)), ("nostr-nsec", "The prefix of a secret key.", "nostr:" + bech32("nsec", bytes.fromhex(key))), ("nostr-note", "The prefix of a note.", "nostr:" + bech32("note", bytes.fromhex(key))),
        ("nostr-31-bytes", "A good checksum over 31 bytes.", "nostr:" + bech32("npub", bytes(range(31)))), ("nostr-33-bytes", "A good checksum over 33 bytes.", "nostr:" + bech32("npub", bytes(range(33)))), ("nostr-no-data", "A good checksum over nothing.", "nostr:" + bech32("npub", b"")),
        ("nostr-padding-bits", "A good checksum over left-over bits that are not zero.", "nostr:" + bech32("npub", bytes.fromhex(key), pad=1)), ("nostr-empty", "No key.", "nostr:"), ("nostr-character-outside-alphabet", "b is no bech32 character.", f"nostr:{npub[:8]}b{npub[9:]}"), ("nostr-uri", "No nostr: twice.", f"nostr:nostr:{npub}"),
    ):
        bad(name, comment, text)


def skeleton(handle):
    text = handle.replace("-", "").replace("_", "").replace("0", "o").replace("1", "l")
    return text.replace("rn", "m").replace("vv", "w")


def handle():
    here = " protocol.md sections 1 and 6."
    names = {  # where the handle itself would make a bad file name
        "abc": "3-bytes", "a" * 32: "32-bytes", "0ab": "digit-first", "123": "digits-only", "a-b": "hyphen", "a_b": "underscore", "ab-": "hyphen-last", "ab_": "underscore-last",
        "a--b__c": "separators-repeated", "r-na": "rn-with-hyphen", "r_na": "rn-with-underscore", "v-v-a": "vv-with-hyphen", "0-1_0": "digits-and-separators", "a-_": "separators-last",
        "0__": "digit-and-underscores", "x" + "-" * 31: "one-letter-and-31-hyphens", "w0rn-vv": "every-step", "xn--abc": "like-punycode",
    }
    for text, comment in (
        ("tudisco", "A plain handle."), ("abc", "3 bytes are the fewest."), ("a" * 32, "32 bytes are the most."), ("0ab", "A digit may come first."), ("123", "Digits only."), ("a-b", "A hyphen."), ("a_b", "An underscore."), ("ab-", "A hyphen may come last."), ("ab_", "An underscore may come last."),
        ("a--b__c", "Hyphens and underscores repeat."), ("r00t", "0 looks like o."), ("a1ice", "1 looks like l."), ("maria", "i is not folded, or maria and marla would exclude each other."), ("marla", "l stays l."), ("marna", "rn looks like m."), ("r-na", "- goes first, so that r-n becomes m too."), ("r_na", "_ goes first, so that r_n becomes m too."),
        ("rnrn", "Left to right, not overlapping."), ("rrnn", "rn inside."), ("savvy", "vv looks like w."), ("v-v-a", "- goes first, so that v-v becomes w too."), ("vvv", "Left to right: the third v stays."), ("vvvv", "Two pairs."), ("vvrn", "Both pairs."), ("0-1_0", "Digits and separators at once."), ("rn1", "All of them: m, l."), ("admin", "A reserved word is well formed; reservation is another check."), ("con-nul", "So is a word of programs."), ("a-_", "Little is left of it."), ("0__", "One letter is left of it."), ("x" + "-" * 31, "One letter is left of 32 bytes."),
        ("i1l", "i stays i, 1 becomes l."), ("w0rn-vv", "The result of one step may not feed an earlier one."), ("xn--abc", "It may look like punycode."),
    ):
        put("handle", "valid", names.get(text, text), comment + here, input=text, skeleton=skeleton(text))
    for name, comment, text in (
        ("empty", "Nothing.", ""), ("1-byte", "1 byte.", "a"), ("2-bytes", "2 bytes.", "ab"), ("33-bytes", "33 bytes.", "a" * 33), ("300-bytes", "300 bytes.", "a" * 300), ("upper-case", "Upper case is refused, not folded.", "Alice"), ("all-upper-case", "Upper case is refused, not folded.", "ALICE"), ("hyphen-first", "A hyphen first.", "-abc"), ("underscore-first", "An underscore first.", "_abc"),
        ("hyphens-only", "Hyphens only.", "---"), ("dot", "A dot.", "a.b"), ("at-sign", "An at sign.", "@alice"), ("qualified", "A qualified handle is not a handle.", "alice@kez.lat"), ("space-inside", "White space.", "al ice"), ("space-before", "White space.", " alice"), ("space-after", "White space.", "alice "), ("newline-after", "White space.", "alice\n"), ("tab", "White space.", "al\tice"), ("nul", "A control.", "al\0ice"), ("slash", "A slash.", "al/ice"), ("percent", "A percent sign.", "al%20ice"), ("plus", "A plus sign.", "al+ice"),
        ("umlaut", "A letter beyond ASCII.", "\u00e4lice"), ("cyrillic-a", "A look-alike beyond ASCII.", "\u0430lice"), ("fullwidth", "Letters of another width.", "\uff41\uff42\uff43"), ("emoji", "An emoji.", "abc\U0001f602"), ("arabic-digit", "A digit beyond ASCII.", "abc\u0661"), ("long-s", "A letter that folds to s.", "ali\u017f"), ("kelvin-sign", "A letter that folds to k.", "\u212aez"), ("combining-accent", "A combining mark.", "alice\u0301"), ("zero-width-joiner", "An invisible character.", "al\u200dice"), ("en-dash", "A dash that is no hyphen.", "a\u2013b"), ("colon", "A colon.", "a:b"), ("backslash", "A backslash.", "a\\b"), ("quote", "A quote.", 'a"b'), ("less-than", "Markup.", "<b>"), ("wildcard", "A wildcard of subjects.", "a*b"), ("greater-than", "A wildcard of subjects.", "ab>"),
    ):
        put("handle", "invalid", name, comment + here, input=text, error="bad_handle")


def server_name():
    here = " protocol.md section 1; RFC 1035 section 2.3.4."
    full = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(full) == 253
    for name, comment, text in (
        ("kez-lat", "The name of the published examples.", "kez.lat"), ("localhost", "localhost is a name.", "localhost"), ("one-label", "One label is enough.", "intranet"), ("one-letter", "One letter is enough.", "a"), ("many-labels", "Many labels.", "a.b.c.d.e.f.g.example"), ("hyphen-inside", "A hyphen inside a label.", "my-chat.example"), ("hyphens-inside", "Two hyphens inside a label.", "my--chat.example"), ("digit-first", "A digit may come first.", "1chat.example"), ("digits-label", "A label of digits that is not the last.", "127.0.0.example"),
        ("last-label-with-digit", "The last label has a letter too.", "chat.e1"), ("last-label-digit-first", "The last label has a letter too.", "chat.1e"), ("punycode", "Punycode labels.", "xn--bcher-kva.example"), ("punycode-top-level", "A punycode top-level label.", "chat.xn--p1ai"), ("label-of-63", "63 bytes are the longest label.", "a" * 63 + ".example"), ("253-bytes", "253 bytes are the longest name.", full), ("onion", "An onion name.", "kez" + "a" * 53 + ".onion"),
    ):
        put("server-name", "valid", name, comment + here, input=text)
    for name, comment, text in (
        ("empty", "Nothing.", ""), ("dot-only", "Two empty labels.", "."), ("trailing-dot", "A trailing dot.", "kez.lat."), ("leading-dot", "An empty label first.", ".kez.lat"), ("double-dot", "An empty label inside.", "kez..lat"), ("upper-case", "Upper case is refused, not folded.", "Kez.lat"), ("upper-case-top-level", "Upper case is refused, not folded.", "kez.LAT"), ("port", "A port.", "kez.lat:443"), ("scheme", "A scheme.", "https://kez.lat"), ("path", "A path.", "kez.lat/"), ("user", "A user.", "alice@kez.lat"), ("query", "A query.", "kez.lat?x"), ("fragment", "A fragment.", "kez.lat#x"),
        ("label-of-64", "A label of 64 bytes.", "a" * 64 + ".example"), ("254-bytes", "A name of 254 bytes.", full + "d"), ("hyphen-first", "A label that starts with a hyphen.", "-kez.lat"), ("hyphen-last", "A label that ends with a hyphen.", "kez-.lat"), ("hyphen-first-in-last-label", "The last label starts with a hyphen.", "kez.-lat"), ("hyphen-last-in-last-label", "The last label ends with a hyphen.", "kez.lat-"), ("hyphen-only", "A label of one hyphen.", "-"), ("underscore", "An underscore.", "_kez.lat"), ("underscore-inside", "An underscore.", "my_chat.example"), ("wildcard", "A wildcard.", "*.kez.lat"),
        ("ipv4", "An IPv4 address.", "127.0.0.1"), ("ipv4-short", "A short IPv4 address.", "127.1"), ("ipv4-number", "An IPv4 address as one number.", "2130706433"), ("last-label-digits", "The last label is all digits.", "kez.123"), ("last-label-one-digit", "The last label is all digits.", "kez.0"), ("ipv6", "An IPv6 address.", "::1"), ("ipv6-brackets", "An IPv6 address in brackets.", "[::1]"),
        ("space-inside", "White space.", "kez .lat"), ("space-before", "White space.", " kez.lat"), ("space-after", "White space.", "kez.lat "), ("newline-after", "White space.", "kez.lat\n"), ("tab", "White space.", "kez\t.lat"), ("nul", "A control.", "kez.lat\0"), ("umlaut", "A letter beyond ASCII; punycode is wanted.", "b\u00fccher.example"), ("cyrillic-letter", "A look-alike beyond ASCII.", "k\u0435z.lat"), ("ideographic-full-stop", "A full stop beyond ASCII.", "kez\u3002lat"), ("fullwidth", "Letters of another width.", "\uff4bez.lat"), ("soft-hyphen", "An invisible character.", "kez\u00ad.lat"), ("percent", "Percent-encoding.", "kez%2elat"), ("comma", "A comma.", "kez,lat"), ("slash-inside", "A slash.", "kez/lat"), ("backslash", "A backslash.", "kez\\lat"),
    ):
        put("server-name", "invalid", name, comment + here, input=text, error="bad_server_name")


def timestamp():
    here = " protocol.md section 3; RFC 3339."
    for name, comment, text in (
        ("seconds", "Whole seconds.", "2026-05-25T03:00:00Z"), ("epoch", "The Unix epoch.", "1970-01-01T00:00:00Z"), ("one-digit-fraction", "A fraction of one digit.", "2026-05-25T03:00:00.5Z"), ("three-digit-fraction", "Milliseconds.", "2026-05-25T03:00:00.123Z"), ("six-digit-fraction", "Microseconds.", "2026-05-25T03:00:00.123456Z"), ("nine-digit-fraction", "Nanoseconds.", "2026-05-25T03:00:00.123456789Z"), ("zero-fraction", "A fraction of zero.", "2026-05-25T03:00:00.0Z"), ("nine-zeros-fraction", "A fraction of nine zeros.", "2026-05-25T03:00:00.000000000Z"), ("one-nanosecond", "The smallest fraction.", "2026-05-25T03:00:00.000000001Z"), ("fraction-with-leading-zeros", "Leading zeros count.", "2026-05-25T03:00:00.007Z"), ("fraction-all-nines", "It does not round.", "2026-05-25T03:00:00.999999999Z"),
        ("leap-day", "A leap day.", "2024-02-29T12:00:00Z"), ("leap-day-400", "The year 2000 is a leap year.", "2000-02-29T23:59:59Z"), ("last-second-of-day", "The last second of a day.", "2026-12-31T23:59:59Z"), ("before-epoch", "Before the epoch.", "1969-12-31T23:59:59Z"), ("before-epoch-with-fraction", "Nanoseconds count forward from the second below.", "1969-12-31T23:59:59.25Z"), ("year-1900", "Long before the epoch.", "1900-03-01T00:00:00Z"), ("after-2038", "Beyond 32 bits.", "2038-01-19T03:14:08Z"), ("year-0001", "The first instant.", "0001-01-01T00:00:00Z"), ("year-9999", "The last instant.", "9999-12-31T23:59:59.999999999Z"), ("year-9999-last-second", "The last whole second.", "9999-12-31T23:59:59Z"), ("day-31", "A month of 31 days.", "2026-07-31T00:00:00Z"), ("day-30", "A month of 30 days.", "2026-06-30T00:00:00Z"),
    ):
        whole, _, fraction = text[:-1].partition(".")
        seconds = calendar.timegm(datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").timetuple())
        put("timestamp", "valid", name, comment + here, input=text, unix_seconds=seconds, nanoseconds=int(fraction.ljust(9, "0")))
    for name, comment, text in (
        ("empty", "Nothing.", ""), ("offset", "An offset.", "2026-05-25T03:00:00+02:00"), ("offset-zero", "An offset of zero is not Z.", "2026-05-25T03:00:00+00:00"), ("offset-minus-zero", "The unknown offset.", "2026-05-25T03:00:00-00:00"), ("offset-short", "An offset without colon.", "2026-05-25T03:00:00+0000"), ("no-zone", "No zone.", "2026-05-25T03:00:00"), ("lower-case-t", "A lower-case t.", "2026-05-25t03:00:00Z"), ("lower-case-z", "A lower-case z.", "2026-05-25T03:00:00z"), ("space-for-t", "A space for T.", "2026-05-25 03:00:00Z"), ("underscore-for-t", "An underscore for T.", "2026-05-25_03:00:00Z"), ("utc-name", "A zone by name.", "2026-05-25T03:00:00UTC"), ("zone-annotation", "An RFC 9557 annotation.", "2026-05-25T03:00:00Z[UTC]"), ("date-only", "No time.", "2026-05-25"), ("date-and-z", "No time.", "2026-05-25Z"), ("no-seconds", "No seconds.", "2026-05-25T03:00Z"),
        ("second-60", "A leap second.", "2016-12-31T23:59:60Z"), ("second-61", "Second 61.", "2026-05-25T03:00:61Z"), ("minute-60", "Minute 60.", "2026-05-25T03:60:00Z"), ("hour-24", "Hour 24.", "2026-05-25T24:00:00Z"), ("hour-25", "Hour 25.", "2026-05-25T25:00:00Z"), ("month-0", "Month 0.", "2026-00-25T03:00:00Z"), ("month-13", "Month 13.", "2026-13-25T03:00:00Z"), ("day-0", "Day 0.", "2026-05-00T03:00:00Z"), ("day-32", "Day 32.", "2026-05-32T03:00:00Z"), ("day-31-of-june", "June has 30 days.", "2026-06-31T03:00:00Z"), ("feb-29-no-leap-year", "2026 is no leap year.", "2026-02-29T03:00:00Z"), ("feb-29-1900", "1900 is no leap year.", "1900-02-29T03:00:00Z"), ("feb-30", "February 30.", "2024-02-30T03:00:00Z"),
        ("fraction-10-digits", "Ten digits.", "2026-05-25T03:00:00.1234567890Z"), ("fraction-empty", "A dot and no digit.", "2026-05-25T03:00:00.Z"), ("fraction-comma", "A comma for the dot.", "2026-05-25T03:00:00,5Z"), ("fraction-of-minute", "A fraction of a minute.", "2026-05-25T03:00.5Z"), ("fraction-two-dots", "Two dots.", "2026-05-25T03:00:00.1.2Z"), ("fraction-sign", "A sign in the fraction.", "2026-05-25T03:00:00.-5Z"), ("fraction-letter", "A letter in the fraction.", "2026-05-25T03:00:00.5aZ"), ("year-0000", "The year 0.", "0000-01-01T00:00:00Z"), ("year-negative", "A negative year.", "-0001-01-01T00:00:00Z"), ("year-5-digits", "A year of five digits.", "10000-01-01T00:00:00Z"), ("year-plus", "A signed year.", "+002026-05-25T03:00:00Z"), ("year-2-digits", "A year of two digits.", "26-05-25T03:00:00Z"),
        ("one-digit-month", "One digit.", "2026-5-25T03:00:00Z"), ("one-digit-day", "One digit.", "2026-05-5T03:00:00Z"), ("one-digit-hour", "One digit.", "2026-05-25T3:00:00Z"), ("one-digit-second", "One digit.", "2026-05-25T03:00:0Z"), ("basic-format", "ISO 8601 basic form.", "20260525T030000Z"), ("basic-time", "A time without colons.", "2026-05-25T030000Z"), ("week-date", "An ISO week date.", "2026-W22-1T03:00:00Z"), ("ordinal-date", "An ordinal date.", "2026-145T03:00:00Z"), ("unix-seconds", "A number.", "1779678000"), ("rfc-2822", "An e-mail date.", "Mon, 25 May 2026 03:00:00 GMT"), ("space-before", "White space.", " 2026-05-25T03:00:00Z"), ("space-after", "White space.", "2026-05-25T03:00:00Z "), ("newline-after", "White space.", "2026-05-25T03:00:00Z\n"), ("space-before-z", "White space.", "2026-05-25T03:00:00 Z"), ("nul-after", "A control.", "2026-05-25T03:00:00Z\0"), ("two-z", "Two zones.", "2026-05-25T03:00:00ZZ"), ("z-and-offset", "Two zones.", "2026-05-25T03:00:00Z+00:00"), ("slashes", "Slashes in the date.", "2026/05/25T03:00:00Z"), ("dots-in-date", "Dots in the date.", "2026.05.25T03:00:00Z"), ("fullwidth-digit", "A digit beyond ASCII.", "202\uff16-05-25T03:00:00Z"), ("arabic-digits", "Digits beyond ASCII.", "\u0662\u0660\u0662\u0666-05-25T03:00:00Z"), ("minus-u2212", "A minus sign for the hyphen.", "2026\u221205\u221225T03:00:00Z"), ("leading-sign-in-field", "A sign in a field.", "2026-+5-25T03:00:00Z"), ("space-in-field", "A space in a field.", "2026-05- 5T03:00:00Z"),
    ):
        put("timestamp", "invalid", name, comment + here, input=text, error="bad_timestamp")


# --- Recovery phrase -------------------------------------------------------------------------------------------------


def words(entropy, break_checksum=False):
    """BIP-39: entropy and the first bits of its SHA-256, in groups of 11 bits."""
    count = len(entropy) * 8 // 32
    check = sha256(entropy)[0] >> 8 - count ^ break_checksum
    bits = int.from_bytes(entropy, "big") << count | check
    return [WORDS[bits >> 11 * i & 2047] for i in reversed(range(len(entropy) * 8 // 32 * 3))]


def phrase():
    here = " protocol.md section 5."

    def good(name, comment, entropy, text=None):
        normal = " ".join(words(entropy))
        seed = entropy if len(entropy) == 32 else sha256(b"kez-bip39-12-v1" + entropy)
        put("phrase", "valid", name, comment + here, phrase=text or normal, normal=normal, entropy=entropy.hex(), seed=seed.hex(), public_key=public(nacl.signing.SigningKey(seed)).hex())

    e12, e24 = sha256(b"kez vectors 12 words")[:16], sha256(b"kez vectors 24 words")
    p12, p24 = " ".join(words(e12)), " ".join(words(e24))
    good("seed-0x42", "The seed of all published examples.", b"\x42" * 32)
    good("12-words", "12 words: the seed is a hash of the entropy.", e12)
    good("24-words", "24 words: the seed is the entropy.", e24)
    for name, comment, text in (
        ("upper-case", "Upper case is folded.", p12.upper()), ("title-case", "Capitals are folded.", p24.title()), ("double-spaces", "White space repeats.", p12.replace(" ", "  ")), ("leading-and-trailing-space", "White space around it.", f"  {p24} "), ("newline-at-end", "A newline at the end.", p12 + "\n"), ("one-word-a-line", "One word a line.", p24.replace(" ", "\n")), ("tabs-and-crlf", "Tabs and carriage returns.", p12.replace(" ", "\t", 3).replace(" ", "\r\n")), ("upper-case-and-white-space", "Both at once.", "\n " + p12.upper().replace(" ", " \t ") + "\r\n"),
    ):
        good(name, comment + " The normal form is lower case with single spaces.", e12 if len(text.split()) == 12 else e24, text)

    def bad(name, comment, text):
        put("phrase", "invalid", name, comment + here, phrase=text, error="bad_phrase")

    bad("empty", "No words.", "")
    bad("white-space-only", "No words.", " \n\t ")
    bad("one-word", "One word.", "abandon")
    for size, count in ((20, 15), (24, 18), (28, 21)):
        bad(f"{count}-words", f"A good BIP-39 phrase of {count} words; only 12 and 24 are taken.", " ".join(words(sha256(b"kez vectors other")[:size])))
    bad("11-words", "A word is missing.", " ".join(p12.split()[:-1]))
    bad("13-words", "A word too many.", p12 + " abandon")
    bad("23-words", "A word is missing.", " ".join(p24.split()[:-1]))
    bad("25-words", "A word too many.", p24 + " abandon")
    bad("48-words", "The phrase twice.", p24 + " " + p24)
    bad("12-words-twice", "24 words, but two phrases of 12.", p12 + " " + p12)
    bad("bad-checksum-12", "One bit of the checksum is wrong.", " ".join(words(e12, True)))
    bad("bad-checksum-24", "One bit of the checksum is wrong.", " ".join(words(e24, True)))
    bad("bad-checksum-abandon-12", "abandon 12 times.", " ".join(["abandon"] * 12))
    bad("bad-checksum-abandon-24", "abandon 24 times.", " ".join(["abandon"] * 24))
    listed = p12.split()
    assert listed[0] != listed[1]
    bad("swapped-words", "The first two words are swapped.", " ".join([listed[1], listed[0]] + listed[2:]))
    for name, comment, word in (
        ("unknown-word", "A word that is not listed.", "kezchat"), ("word-of-four-letters", "Four letters are not enough.", "abou"), ("word-cut", "A word cut short.", "abando"), ("word-with-s", "A listed word with a letter more.", "abouts"), ("word-of-another-list", "A word of the Spanish list.", "abdomen"), ("number-for-word", "A number for a word.", "3"), ("non-ascii-letter", "A look-alike beyond ASCII.", "\u0430bout"), ("fullwidth-letters", "Letters of another width.", "\uff41\uff42\uff4f\uff55\uff54"), ("accent", "A letter with an accent.", "ab\u00f3ut"), ("combining-accent", "A combining mark.", "abo\u0301ut"), ("zero-width-space", "An invisible character.", "ab\u200bout"), ("comma-after-word", "Punctuation.", "about,"), ("full-stop", "Punctuation.", "about."), ("quoted-word", "Punctuation.", '"about"'), ("hyphenated", "Punctuation.", "ab-out"), ("nul", "A control.", "about\0"),
    ):
        bad(name, comment, " ".join(["abandon"] * 11 + [word]))
    bad("commas-between", "Commas between the words.", p12.replace(" ", ", "))
    bad("no-spaces", "No white space between the words.", p12.replace(" ", ""))
    bad("hyphens-between", "Hyphens between the words.", p12.replace(" ", "-"))
    bad("ideographic-space", "White space beyond ASCII.", p12.replace(" ", "\u3000"))
    bad("no-break-space", "White space beyond ASCII.", p12.replace(" ", "\u00a0", 1))
    bad("numbered-list", "Numbers before the words.", " ".join(f"{i}. {w}" for i, w in enumerate(listed, 1)))
    bad("hex-entropy", "The entropy instead of the words.", e24.hex())
    bad("capital-i-with-dot", "A capital beyond ASCII that lower-cases to i and a dot.", "abandon " * 11 + "L\u0130ve")


# --- Envelopes -------------------------------------------------------------------------------------------------------

ALG, ALG_NOSTR = "ed25519-sha512-jcs", "nostr-secp256k1-schnorr-sha256-jcs"
KEY = nacl.signing.SigningKey(b"\x42" * 32)
PRIMARY = "ed25519:" + public(KEY).hex()
REGISTRATION = {"created_at": "2026-05-25T03:00:00Z", "handle": "tudisco", "primary": PRIMARY, "server": "kez.lat", "type": "kez.chat.handle_registration", "version": 1}
REGISTRATION_SIG = "fe510f5cfe2e137cf49fb48a86335c335f35029cec2796052bd36b225703f225ef3d9a0fcdfaaa6c1789bdb737e67c79bdbd2755704aeb5fcdbd1a20c3693907"


def ident(key):
    return "ed25519:" + public(key).hex()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sign(payload, key=KEY):
    return key.sign(rfc8785.dumps(payload)).signature.hex()


def envelope(payload, tag="handle_registration", key=KEY, **signature):
    """A whole envelope; `signature` overrides its members."""
    if "sig" not in signature:
        signature["sig"] = sign(payload, key)
    return {"kez": tag, "payload": payload, "signature": {"alg": ALG, "key": ident(key), **signature}}


def with_members(**members):
    return {**REGISTRATION, **members}


def without(value, name):
    return {k: v for k, v in value.items() if k != name}


# BIP-340 over secp256k1.
SP, SN = 2**256 - 2**32 - 977, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SG = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def sadd(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % SP == 0:
        return None
    slope = (3 * a[0] * a[0] * pow(2 * a[1], -1, SP) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, SP)) % SP
    x = (slope * slope - a[0] - b[0]) % SP
    return (x, (slope * (a[0] - x) - a[1]) % SP)


def smul(n, point):
    out = None
    while n:
        if n & 1:
            out = sadd(out, point)
        point = sadd(point, point)
        n >>= 1
    return out


def bip340(secret, message):
    """Public key and signature, with 32 zero bytes of auxiliary randomness."""

    def tagged(tag, data):
        return sha256(sha256(tag) * 2 + data)

    point = smul(secret, SG)
    d = secret if point[1] % 2 == 0 else SN - secret
    key = point[0].to_bytes(32, "big")
    masked = (d ^ int.from_bytes(tagged(b"BIP0340/aux", bytes(32)), "big")).to_bytes(32, "big")
    k = int.from_bytes(tagged(b"BIP0340/nonce", masked + key + message), "big") % SN
    big_r = smul(k, SG)
    k = k if big_r[1] % 2 == 0 else SN - k
    r = big_r[0].to_bytes(32, "big")
    e = int.from_bytes(tagged(b"BIP0340/challenge", r + key + message), "big") % SN
    return key, r + ((k + e * d) % SN).to_bytes(32, "big")


def registration():
    here = " protocol.md sections 3 and 6."

    def good(name, comment, env, text=None):
        text = text or compact(env)
        payload = rfc8785.dumps(env["payload"])
        KEY.verify_key.verify(payload, bytes.fromhex(env["signature"]["sig"])) if env["signature"]["key"] == PRIMARY else None
        assert json.loads(text) == env
        p = env["payload"]
        put("registration", "valid", name, comment + here, envelope=text, handle=p["handle"], server=p["server"], primary=p["primary"], created_at=p["created_at"], payload_sha256=sha256(payload).hex(), canonical=rfc8785.dumps(env).decode())

    def bad(name, code, comment, env):
        put("registration", "invalid", name, comment + here, envelope=env if isinstance(env, str) else compact(env), error=code)

    base = envelope(REGISTRATION)
    assert base["signature"]["sig"] == REGISTRATION_SIG
    alice = signer("alice")
    mallory = signer("mallory")

    good("published-tudisco", "The registration of protocol.md section 9.", base)
    good("another-key", "Another key.", envelope(with_members(handle="alice", primary=ident(alice)), key=alice))
    good("canonical-text", "The text is canonical already.", base, rfc8785.dumps(base).decode())
    good("pretty-printed", "White space of the transport text does not matter.", base, json.dumps(base, indent=2) + "\n")
    good("tabs-and-crlf", "Nor does its kind.", base, "\r\n" + json.dumps(base, indent="\t").replace("\n", "\r\n"))
    turned = {"signature": dict(reversed(base["signature"].items())), "payload": dict(reversed(base["payload"].items())), "kez": base["kez"]}
    good("members-in-reverse-order", "The order of members does not matter.", turned)
    good("escaped-text", "Nor do escapes in names and values.", base, compact(base).replace('"handle"', '"\\u0068andle"').replace("tudisco", "tud\\u0069sco").replace("kez.chat.", "kez\\u002echat."))
    for name, comment, members in (
        ("unknown-string", "Unknown members of the payload are kept and signed.", {"note": "hello"}), ("unknown-array", "An unknown array.", {"tags": ["b", "a", 1, None, True]}), ("unknown-object", "An unknown nested object.", {"extra": {"z": {"y": []}, "a": {}}}), ("unknown-unicode-names", "Unknown names sort by UTF-16 code units.", {"\uff61": 1, "\U0001f602": 2, "\u00e9": 3, "e\u0301": 4}), ("unknown-integers", "The largest integers.", {"max": 2**53 - 1, "min": 1 - 2**53, "zero": 0}), ("unknown-empty-name", "The empty name.", {"": ""}), ("unknown-control-characters", "Controls in a value.", {"c": "\0\x01\x1f\x7f\n\t"}), ("unknown-private-number", "The private name of serde_json is a plain member.", {"n": {NUMBER: "12"}}), ("unknown-envelope-names", "Names of the envelope mean nothing inside the payload.", {"kez": "claim", "signature": {"alg": "none"}, "payload": {}}), ("unknown-claim-members", "Members of other documents mean nothing here.", {"subject": "github:jason", "seq": -1, "prev": None, "expires_at": "never"}),
        ("fractional-created-at", "A fraction of nanoseconds.", {"created_at": "2026-05-25T03:00:00.123456789Z"}), ("created-at-trailing-zeros", "The text of created_at is signed as it stands.", {"created_at": "2026-05-25T03:00:00.500Z"}), ("created-at-long-ago", "The window is a later check.", {"created_at": "1970-01-01T00:00:00Z"}), ("created-at-far-ahead", "The window is a later check.", {"created_at": "9000-01-01T00:00:00Z"}), ("empty-handle", "The syntax of the handle is a later check.", {"handle": ""}), ("handle-of-bad-syntax", "The syntax of the handle is a later check.", {"handle": "Not A Handle!"}), ("reserved-handle", "Reservation is a later check.", {"handle": "admin"}), ("unicode-handle", "The syntax of the handle is a later check.", {"handle": "\u0430lice\U0001f602"}), ("other-server", "The server is a later check.", {"server": "example.org"}), ("empty-server", "The server is a later check.", {"server": ""}), ("server-of-bad-syntax", "The server is a later check.", {"server": "https://kez.lat:443/"}),
    ):
        good(name, comment, envelope(with_members(**members)))
    deep = [[]]
    for _ in range(12):
        deep = [deep]
    good("depth-16", "Depth 16, the most: the envelope, the payload and 14 arrays.", envelope(with_members(deep=deep)))

    # Shape of the envelope.
    payload_text = rfc8785.dumps(REGISTRATION).decode()
    text = compact(base)
    bad("envelope-extra-member", "malformed", "A further member of the envelope would be unsigned.", {**base, "extra": 1})
    bad("envelope-extra-null-member", "malformed", "Null is a member too.", {**base, "extra": None})
    bad("envelope-empty-name-member", "malformed", "So is the empty name.", {**base, "": 1})
    bad("envelope-upper-case-names", "malformed", "Names are compared with case.", {"KEZ": base["kez"], "Payload": base["payload"], "Signature": base["signature"]})
    for name in base:
        bad(f"envelope-without-{name}", "malformed", f"The member {name} is missing.", without(base, name))
    for name, value in (("number", 1), ("null", None), ("array", ["handle_registration"]), ("object", {}), ("true", True)):
        bad(f"kez-is-{name}", "malformed", "The tag is a string.", {**base, "kez": value})
    for name, value in (("string", payload_text), ("null", None), ("array", [REGISTRATION]), ("number", 1)):
        bad(f"payload-is-{name}", "malformed", "The payload is an object.", {**base, "payload": value})
    for name, value in (("string", REGISTRATION_SIG), ("null", None), ("array", [base["signature"]])):
        bad(f"signature-is-{name}", "malformed", "The signature is an object.", {**base, "signature": value})
    for name, value in (("array", [base]), ("array-of-members", ["handle_registration", REGISTRATION, base["signature"]]), ("null", None), ("number", 1), ("empty-object", {}), ("empty-array", [])):
        bad(f"envelope-is-{name}", "malformed", "An envelope is an object of three members.", value)
    bad("envelope-is-string", "malformed", "A good envelope as a JSON string.", compact(text))
    bad("payload-only", "malformed", "The payload without an envelope.", REGISTRATION)
    bad("envelope-wrapped", "malformed", "An envelope in an envelope.", {"envelope": base})
    bad("payload-empty", "malformed", "An empty payload.", envelope({}))

    # Shape of the signature.
    sig = base["signature"]
    for name in sig:
        bad(f"signature-without-{name}", "malformed", f"The member {name} is missing.", {**base, "signature": without(sig, name)})
        bad(f"signature-{name}-is-null", "malformed", f"The member {name} is a string.", {**base, "signature": {**sig, name: None}})
        bad(f"signature-{name}-is-array", "malformed", f"The member {name} is a string.", {**base, "signature": {**sig, name: [sig[name]]}})
    bad("signature-empty", "malformed", "An empty signature.", {**base, "signature": {}})
    bad("signature-extra-member", "malformed", "A further member of the signature would be unsigned.", {**base, "signature": {**sig, "created": "2026-05-25T03:00:00Z"}})
    for name, comment, value in (
        ("upper-case", "Hex is lower case.", REGISTRATION_SIG.upper()), ("one-upper-case-digit", "One upper-case digit is enough.", REGISTRATION_SIG.replace("f", "F", 1)), ("short", "127 digits.", REGISTRATION_SIG[:-1]), ("63-bytes", "126 digits.", REGISTRATION_SIG[:-2]), ("65-bytes", "130 digits.", REGISTRATION_SIG + "00"), ("empty", "No digits.", ""), ("no-hex", "A letter beyond f.", "g" + REGISTRATION_SIG[1:]), ("0x", "No 0x.", "0x" + REGISTRATION_SIG[2:]), ("base64", "No base64.", base64.b64encode(bytes.fromhex(REGISTRATION_SIG)).decode()), ("white-space", "White space after it.", REGISTRATION_SIG + "\n"), ("fullwidth-digit", "A digit beyond ASCII.", "\uff10" + REGISTRATION_SIG[1:]),
    ):
        bad(f"sig-{name}", "malformed", comment, envelope(REGISTRATION, sig=value))
    for name, value in (("unknown", "ed25519"), ("upper-case", ALG.upper()), ("none", "none"), ("empty", ""), ("pre-hash", "ed25519ph-sha512-jcs"), ("trailing-space", ALG + " ")):
        bad(f"alg-{name}", "malformed", "Two algorithms are known, by their exact names.", envelope(REGISTRATION, alg=value))

    # Shape of the payload.
    for name in ("type", "version", "primary", "created_at", "handle", "server"):
        bad(f"payload-without-{name.replace('_', '-')}", "malformed", f"The member {name} is missing.", envelope(without(REGISTRATION, name)))
        bad(f"payload-{name.replace('_', '-')}-is-null", "malformed", f"The member {name} is null.", envelope(with_members(**{name: None})))
    for name in ("type", "primary", "created_at", "handle", "server"):
        bad(f"payload-{name.replace('_', '-')}-is-number", "malformed", f"The member {name} is a string.", envelope(with_members(**{name: 1})))
        bad(f"payload-{name.replace('_', '-')}-is-array", "malformed", f"The member {name} is a string.", envelope(with_members(**{name: [REGISTRATION[name]]})))
    bad("payload-handle-upper-case-name", "malformed", "Names are compared with case.", envelope({**without(REGISTRATION, "handle"), "Handle": "tudisco"}))
    bad("version-is-string", "malformed", "version is an integer.", envelope(with_members(version="1")))
    bad("version-is-true", "malformed", "version is an integer.", envelope(with_members(version=True)))
    bad("version-is-array", "malformed", "version is an integer.", envelope(with_members(version=[1])))
    bad("version-is-1-0", "malformed", "1.0 is a fraction; the signature is over 1.", text.replace('"version":1', '"version":1.0'))
    bad("version-is-1e0", "malformed", "1e0 has an exponent; the signature is over 1.", text.replace('"version":1', '"version":1e0'))
    bad("version-is-private-number", "malformed", "serde_json's private object is no number.", envelope(with_members(version={NUMBER: "1"})))
    bad("version-is-minus-zero", "malformed", "-0 is refused by the reader.", text.replace('"version":1', '"version":-0'))
    for name, value in (
        ("offset", "2026-05-25T05:00:00+02:00"), ("zero-offset", "2026-05-25T03:00:00+00:00"), ("no-zone", "2026-05-25T03:00:00"), ("lower-case", "2026-05-25t03:00:00z"), ("date-only", "2026-05-25"), ("space", "2026-05-25 03:00:00Z"), ("empty", ""), ("ten-digit-fraction", "2026-05-25T03:00:00.0123456789Z"), ("leap-second", "2016-12-31T23:59:60Z"), ("feb-29", "2026-02-29T03:00:00Z"), ("hour-24", "2026-05-25T24:00:00Z"), ("year-0000", "0000-01-01T00:00:00Z"), ("unix-seconds", "1779678000"),
    ):
        bad(f"created-at-{name}", "malformed", "created_at is a UTC timestamp with Z.", envelope(with_members(created_at=value)))

    # The reader.
    def loose(extra, signed=None):
        """The text of an envelope whose payload has `extra` as raw JSON; signed over the sorted text with it."""
        body = payload_text[:-1] + "," + extra + "}"
        signature = KEY.sign((signed or body).encode()).signature.hex()
        return f'{{"kez":"handle_registration","payload":{body},"signature":{compact({**sig, "sig": signature})}}}'

    bad("duplicate-handle", "malformed", "The member handle twice; signed over the last one.", text.replace('"handle":"tudisco"', '"handle":"mallory","handle":"tudisco"'))
    bad("duplicate-handle-first-signed", "malformed", "The member handle twice; signed over the first one.", text.replace('"handle":"tudisco"', '"handle":"tudisco","handle":"mallory"'))
    bad("duplicate-handle-escaped", "malformed", "The member handle twice, once with an escape.", text.replace('"handle":"tudisco"', '"h\\u0061ndle":"mallory","handle":"tudisco"'))
    bad("duplicate-handle-same-value", "malformed", "Twice with one value.", text.replace('"handle":"tudisco"', '"handle":"tudisco","handle":"tudisco"'))
    bad("duplicate-payload", "malformed", "Two payloads; signed over the last one.", text.replace('"payload":', f'"payload":{compact(with_members(handle="mallory"))},"payload":'))
    bad("duplicate-signature-key", "malformed", "Two keys in the signature.", text.replace('"key":', f'"key":"{ident(mallory)}","key":'))
    bad("duplicate-tag", "malformed", "Two tags.", text.replace('"kez":', '"kez":"claim","kez":'))
    bad("duplicate-in-unknown-object", "malformed", "A repeated member deep in an unknown member.", loose('"x":[{"a":1,"a":2}]', payload_text[:-1] + ',"x":[{"a":2}]}'))
    bad("integer-beyond-2-53", "malformed", "An integer of 2^53 in an unknown member.", loose('"x":9007199254740992'))
    bad("integer-beyond-2-53-negative", "malformed", "An integer of -(2^53) in an unknown member.", loose('"x":-9007199254740992'))
    bad("fraction", "malformed", "A fraction in an unknown member, signed over its canonical form.", loose('"x":1.5'))
    bad("fraction-whole", "malformed", "1.0 in an unknown member, signed over its canonical form.", loose('"x":1.0', payload_text[:-1] + ',"x":1}'))
    bad("exponent", "malformed", "An exponent in an unknown member, signed over its canonical form.", loose('"x":1e2', payload_text[:-1] + ',"x":100}'))
    bad("minus-zero", "malformed", "-0 in an unknown member, signed over its canonical form.", loose('"x":-0', payload_text[:-1] + ',"x":0}'))
    bad("lone-surrogate", "malformed", "A lone surrogate in an unknown member.", loose('"x":"\\ud83d"'))
    bad("noncharacter", "malformed", "A noncharacter in an unknown member.", loose('"x":"\\uffff"', payload_text[:-1] + ',"x":"\uffff"}'))
    bad("depth-17", "malformed", "Depth 17: the envelope, the payload and 15 arrays.", envelope(with_members(deep=[deep])))
    bad("bom", "malformed", "A byte order mark before a good envelope.", "\ufeff" + text)
    bad("trailing-byte", "malformed", "A byte after a good envelope.", text + "x")
    bad("trailing-nul", "malformed", "A NUL after a good envelope.", text + "\0")
    bad("two-envelopes", "malformed", "A good envelope twice.", text + "\n" + text)
    bad("trailing-comma", "malformed", "A comma after the last member.", text[:-1] + ",}")
    bad("cut", "malformed", "The last byte is missing.", text[:-1])
    bad("comment", "malformed", "A comment before a good envelope.", "/* kez */" + text)
    bad("single-quotes", "malformed", "Single quotes.", text.replace('"', "'"))
    bad("empty", "malformed", "No bytes.", "")
    bad("white-space-only", "malformed", "White space only.", " \n")
    bad("markdown-fence", "malformed", "A Markdown fence is another transport; here only the JSON envelope.", f"```kez\n{text}\n```\n")
    bad("control-in-value", "malformed", "A raw newline in a string.", text.replace("tudisco", "tud\nisco"))

    # Tag, type, version.
    claim = {"created_at": "2026-05-25T00:00:00Z", "primary": PRIMARY, "subject": "github:jason", "type": "kez.claim", "version": 1}
    bad("tag-of-claim", "wrong_type", "The tag of another document over the right payload.", envelope(REGISTRATION, "claim"))
    bad("tag-unknown", "wrong_type", "An unknown tag.", envelope(REGISTRATION, "registration"))
    bad("tag-empty", "wrong_type", "An empty tag.", envelope(REGISTRATION, ""))
    bad("tag-upper-case", "wrong_type", "Tags are compared with case.", envelope(REGISTRATION, "Handle_Registration"))
    bad("tag-is-type", "wrong_type", "The type for the tag.", envelope(REGISTRATION, "kez.chat.handle_registration"))
    bad("tag-trailing-space", "wrong_type", "White space after the tag.", envelope(REGISTRATION, "handle_registration "))
    bad("type-of-claim", "wrong_type", "The type of another document under the right tag.", envelope(with_members(type="kez.claim")))
    bad("type-is-tag", "wrong_type", "The tag for the type.", envelope(with_members(type="handle_registration")))
    bad("type-upper-case", "wrong_type", "Types are compared with case.", envelope(with_members(type="kez.chat.Handle_Registration")))
    bad("type-empty", "wrong_type", "An empty type.", envelope(with_members(type="")))
    bad("type-of-deletion", "wrong_type", "An account deletion of the same shape.", envelope(with_members(type="kez.chat.account_deletion")))
    bad("claim-document", "wrong_type", "A good claim is no registration, although handle and server are missing.", envelope(claim, "claim"))
    bad("claim-under-registration-tag", "wrong_type", "A claim under the tag of a registration.", envelope(claim))
    bad("account-deletion-document", "wrong_type", "A good account deletion is no registration.", envelope(with_members(type="kez.chat.account_deletion"), "account_deletion"))
    for value in (0, 2, -1, 2**53 - 1):
        bad(f"version-{'minus-1' if value == -1 else 'max' if value > 9 else value}", "wrong_type", "The version is 1.", envelope(with_members(version=value)))

    # Key.
    npub_secret = int.from_bytes(sha256(b"kez vectors nostr"), "big")
    assert bip340(3, bytes(32))[1].hex().startswith("e907831f80848d1069a5371b40241036")
    npub = "nostr:" + bech32("npub", bip340(npub_secret, b"")[0])
    for name, comment, primary, key in (
        ("key-of-another", "Signed by another key, which signature.key names.", PRIMARY, ident(mallory)), ("key-is-npub", "signature.key is an npub.", PRIMARY, npub), ("key-without-system", "signature.key lacks its prefix.", PRIMARY, PRIMARY[8:]), ("key-empty", "signature.key is empty.", PRIMARY, ""), ("key-upper-case-hex", "signature.key in upper-case hex.", PRIMARY, "ed25519:" + PRIMARY[8:].upper()), ("key-upper-case-system", "signature.key with its system in upper case.", PRIMARY, "ED25519:" + PRIMARY[8:]), ("key-trailing-space", "signature.key with white space.", PRIMARY, PRIMARY + " "),
        ("primary-without-system", "primary lacks its prefix.", PRIMARY[8:], PRIMARY[8:]), ("primary-empty", "primary is empty.", "", ""), ("primary-upper-case-hex", "Both in upper-case hex, which is no Ed25519 key.", "ed25519:" + PRIMARY[8:].upper(), "ed25519:" + PRIMARY[8:].upper()), ("primary-upper-case-hex-only", "Only primary in upper-case hex.", "ed25519:" + PRIMARY[8:].upper(), PRIMARY), ("primary-31-bytes", "A key of 31 bytes.", PRIMARY[:-2], PRIMARY[:-2]), ("primary-33-bytes", "A key of 33 bytes.", PRIMARY + "00", PRIMARY + "00"), ("primary-npub-key-ed25519", "primary is an npub, signature.key an Ed25519 key.", npub, PRIMARY), ("primary-npub", "Both are an npub under the Ed25519 algorithm; accounts are Ed25519 only.", npub, npub), ("primary-dns", "Both are a domain.", "dns:kez.lat", "dns:kez.lat"), ("primary-did-key", "Both are a did:key.", "did:key:z6MkexampleExample", "did:key:z6MkexampleExample"), ("primary-trailing-space", "primary with white space.", PRIMARY + " ", PRIMARY),
    ):
        payload = with_members(primary=primary)
        bad(name, "key_mismatch", comment, envelope(payload, key=mallory if name == "key-of-another" else KEY) | {"signature": {"alg": ALG, "key": key, "sig": sign(payload, mallory if name == "key-of-another" else KEY)}})
    bad("primary-of-another", "key_mismatch", "A good signature, but primary names another key.", envelope(with_members(primary=ident(mallory))))
    bad("upper-case-system-both", "key_mismatch", "Both with the system in upper case: a signed key stands in normal form.", envelope(with_members(primary="ED25519:" + PRIMARY[8:]), key=KEY) | {"signature": {**sig, "key": "ED25519:" + PRIMARY[8:], "sig": sign(with_members(primary="ED25519:" + PRIMARY[8:]))}})
    nostr_payload = with_members(primary=npub)
    nostr_sig = bip340(npub_secret, sha256(rfc8785.dumps(nostr_payload)))[1].hex()
    bad("nostr-envelope", "key_mismatch", "A correct Nostr envelope (BIP-340): accounts are Ed25519 only.", envelope(nostr_payload, alg=ALG_NOSTR, key=KEY, sig=nostr_sig) | {"signature": {"alg": ALG_NOSTR, "key": npub, "sig": nostr_sig}})

    # Signature.
    signed = rfc8785.dumps(REGISTRATION)
    s = int.from_bytes(bytes.fromhex(REGISTRATION_SIG)[32:], "little")
    raw = lambda data, key=KEY: key.sign(data).signature.hex()
    for name, comment, value in (
        ("pre-hashed-sha512", "Signed over the SHA-512 of the payload.", raw(hashlib.sha512(signed).digest())), ("pre-hashed-sha256", "Signed over the SHA-256 of the payload.", raw(sha256(signed))), ("signed-pretty-printed", "Signed over the payload pretty-printed.", raw(json.dumps(REGISTRATION, indent=2).encode())), ("signed-with-spaces", "Signed over the payload with spaces.", raw(json.dumps(REGISTRATION).encode())), ("signed-with-newline", "Signed over the canonical payload and a newline.", raw(signed + b"\n")), ("signed-unsorted", "Signed over the payload with its members in reverse order.", raw(compact(dict(reversed(REGISTRATION.items()))).encode())), ("signed-whole-envelope", "Signed over the envelope without its signature.", raw(rfc8785.dumps(without(base, "signature")))), ("signed-tag-and-payload", "Signed over the tag and the payload.", raw(b"handle_registration" + signed)), ("signed-hex-of-hash", "Signed over the hex of the SHA-256 of the payload.", raw(sha256(signed).hex().encode())), ("signed-base64url", "Signed over the payload in base64url.", raw(base64.urlsafe_b64encode(signed).rstrip(b"="))), ("signed-empty", "Signed over nothing.", raw(b"")),
        ("signed-by-another", "key is primary, but another key signed.", sign(REGISTRATION, mallory)), ("s-plus-l", "S + L: the same signature in another form.", REGISTRATION_SIG[:64] + (s + L).to_bytes(32, "little").hex()), ("s-negated", "S is replaced by L - S.", REGISTRATION_SIG[:64] + (L - s).to_bytes(32, "little").hex()), ("flipped-bit-in-r", "One bit of R is flipped.", f"{int(REGISTRATION_SIG[:2], 16) ^ 1:02x}" + REGISTRATION_SIG[2:]), ("flipped-bit-in-s", "One bit of S is flipped.", REGISTRATION_SIG[:64] + f"{int(REGISTRATION_SIG[64:66], 16) ^ 1:02x}" + REGISTRATION_SIG[66:]), ("all-zero", "128 zeros.", "0" * 128), ("r-identity-s-zero", "R is the identity and S = 0.", encode(IDENTITY).hex() + "00" * 32), ("halves-swapped", "S before R.", REGISTRATION_SIG[64:] + REGISTRATION_SIG[:64]),
    ):
        bad(name, "bad_signature", comment, envelope(REGISTRATION, sig=value))
    for name, members in (("handle", {"handle": "mallory"}), ("server", {"server": "example.org"}), ("created-at", {"created_at": "2026-05-25T03:00:01Z"}), ("created-at-spelling", {"created_at": "2026-05-25T03:00:00.0Z"}), ("added-member", {"note": "added later"}), ("handle-case", {"handle": "Tudisco"})):
        bad(f"changed-{name}", "bad_signature", "The payload was changed after it was signed.", envelope(with_members(**members), sig=REGISTRATION_SIG))
    noted = with_members(note="kept")
    bad("removed-member", "bad_signature", "An unknown member was removed after signing.", envelope(REGISTRATION, sig=sign(noted)))
    bad("normalised-unicode", "bad_signature", "Signed decomposed, sent composed.", envelope(with_members(note="\u00e9"), sig=sign(with_members(note="e\u0301"))))
    bad("sort-by-code-point", "bad_signature", "Signed with the members sorted by code point instead of UTF-16 code units.", envelope(with_members(**{"\uff61": 1, "\U0001f602": 2}), sig=raw(json.dumps(with_members(**{"\uff61": 1, "\U0001f602": 2}), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())))
    bad("signed-ascii-escapes", "bad_signature", "Signed over a text with \\u escapes.", envelope(with_members(note="\u00e9"), sig=raw(json.dumps(with_members(note="\u00e9"), sort_keys=True, separators=(",", ":")).encode())))
    bad("alg-nostr-with-ed25519-key", "bad_signature", "The Nostr algorithm with an Ed25519 key, and a correct Ed25519 signature.", envelope(REGISTRATION, alg=ALG_NOSTR))
    weak = "ed25519:" + encode(IDENTITY).hex()
    forged = mul(scalar("weak key"), BASE)
    bad("weak-key-identity", "bad_signature", "The key is the identity point, for which anybody can sign everything.", {"kez": "handle_registration", "payload": with_members(primary=weak), "signature": {"alg": ALG, "key": weak, "sig": encode(forged).hex() + scalar("weak key").to_bytes(32, "little").hex()}})
    order8 = "ed25519:" + encode(T8).hex()
    order8_payload = lambda n: with_members(primary=order8, note=n)
    number = next(n for n in range(999) if challenge(encode(forged), encode(T8), rfc8785.dumps(order8_payload(n))) % 8 == 0)
    bad("weak-key-order-8", "bad_signature", "The key is of order 8 and the equation holds.", {"kez": "handle_registration", "payload": order8_payload(number), "signature": {"alg": ALG, "key": order8, "sig": encode(forged).hex() + scalar("weak key").to_bytes(32, "little").hex()}})
    non_canonical = "ed25519:" + (P + 1).to_bytes(32, "little").hex()
    bad("weak-key-non-canonical", "bad_signature", "The identity point with y = p + 1.", {"kez": "handle_registration", "payload": with_members(primary=non_canonical), "signature": {"alg": ALG, "key": non_canonical, "sig": encode(forged).hex() + scalar("weak key").to_bytes(32, "little").hex()}})
    no_point = "ed25519:" + next(y for y in range(2, 99) if decode(y.to_bytes(32, "little")) is None).to_bytes(32, "little").hex()
    bad("key-is-no-point", "bad_signature", "The key is not on the curve.", envelope(with_members(primary=no_point)) | {"signature": {**sig, "key": no_point}})

    # Precedence: malformed, wrong_type, key_mismatch, bad_signature.
    bad("order-shape-before-type", "malformed", "A wrong tag and an extra member.", {**envelope(REGISTRATION, "claim"), "extra": 1})
    bad("order-alg-before-type", "malformed", "A wrong tag and an unknown alg.", envelope(REGISTRATION, "claim", alg="none"))
    bad("order-created-at-before-type", "malformed", "A wrong type and a broken created_at.", envelope(with_members(type="kez.claim", created_at="yesterday")))
    bad("order-type-before-handle", "wrong_type", "A wrong type and no handle: handle is read after the type is known.", envelope(without(with_members(type="kez.claim"), "handle")))
    bad("order-version-before-server", "wrong_type", "Version 2 and no server: another version may have other members.", envelope(without(with_members(version=2), "server")))
    bad("order-type-before-key", "wrong_type", "A wrong type and another key.", envelope(with_members(type="kez.claim"), key=mallory))
    bad("order-type-before-signature", "wrong_type", "A wrong type and a bad signature.", envelope(with_members(type="kez.claim"), sig=REGISTRATION_SIG))
    bad("order-handle-before-key", "malformed", "No handle and another key.", envelope(without(REGISTRATION, "handle"), key=mallory))
    bad("order-key-before-signature", "key_mismatch", "Another key and a bad signature.", envelope(REGISTRATION, key=mallory, sig=REGISTRATION_SIG))
    bad("order-sig-shape-before-key", "malformed", "Another key and a short signature.", envelope(REGISTRATION, key=mallory, sig=REGISTRATION_SIG[:-2]))


def envelopes():
    """The published documents of protocol.md section 9, compared with what is printed there."""

    def out(name, comment, tag, payload, signature, hash_of_envelope=None):
        env = envelope(payload, tag)
        assert env["signature"]["sig"] == signature, name
        digest = sha256(rfc8785.dumps(env)).hex()
        assert hash_of_envelope in (None, digest), name
        put("envelope", "valid", name, comment + " protocol.md section 9.", envelope=compact(env), tag=tag, type=payload["type"], payload_sha256=sha256(rfc8785.dumps(payload)).hex(), envelope_sha256=digest)
        return digest

    claim = {"created_at": "2026-05-25T00:00:00Z", "primary": PRIMARY, "subject": "github:jason", "type": "kez.claim", "version": 1}
    event = {"created_at": "2026-05-25T00:00:00Z", "op": "add", "payload": {"subject": "github:jason"}, "primary": PRIMARY, "seq": 0, "type": "kez.sigchain.event", "version": 1}
    out("registration", "The registration of tudisco.", "handle_registration", REGISTRATION, REGISTRATION_SIG)
    out("claim", "A claim of github:jason.", "claim", claim, "30c891f92090a73c340eff9998a6d4a51fe460670ac66fbf67656766fec98d140a213f9b3c407c1660519e57f364eb7bbf14055d2e54f41caccba2d6b04c6f04")
    head = out("event-0", "Sigchain event 0, an add.", "sigchain_event", event, "1e75d82d0129dcd7a1a546fe3ce4c97b8ec26e1133e111a0064779ea01abdd83e87982ce30c9ee87dd9cdb7ae1ee5f4d43f23423ca7bc132e1e2cb2e7b138707", "27d310a28d8af0dc546640e33dd0893300883e11ca1b1656954d9bc2449400dc")
    out("event-1", "Sigchain event 1, a revoke whose prev is the hash of event 0.", "sigchain_event", {**event, "created_at": "2026-05-25T00:01:00Z", "op": "revoke", "seq": 1, "prev": "sha256:" + head}, "ab323f7e670c35623d9b58b6ab3495813c51fa6de912ee3114bae29e0728acd0cd6fee23ec0eb46809e57934ccabc980650731f387f33b1c25fe0eee6fca610e", "c25c98767440e997a0cd8388e6f19eed35fd0c75315f68f90f0125ed1f2f7cf9")


# --- WebFinger -------------------------------------------------------------------------------------------------------


def webfinger():
    here = " protocol.md section 6; RFC 7033."

    def good(name, comment, query, finds, rels=()):
        put("webfinger-resource", "valid", name, comment + here, server="kez.lat", query=query, finds=finds, rels=list(rels))

    def bad(name, comment, query):
        put("webfinger-resource", "invalid", name, comment + here, server="kez.lat", query=query, error="bad_resource")

    for name, comment, resource in (
        ("acct", "An acct URI of ours.", "acct:alice@kez.lat"), ("acct-encoded", "Colon and at sign percent-encoded.", "acct%3Aalice%40kez.lat"), ("acct-encoded-lower-case-hex", "Percent-encoding in lower-case hex.", "acct%3aalice%40kez.lat"), ("acct-all-encoded", "Every letter may be percent-encoded.", "%61%63%63%74%3A%61%6C%69%63%65%40kez%2Elat"), ("acct-scheme-upper-case", "The scheme is compared without case.", "ACCT:alice@kez.lat"), ("acct-host-upper-case", "The host is compared without case.", "acct:alice@KEZ.Lat"), ("acct-scheme-and-host-mixed-case", "Both without case.", "Acct:alice@Kez.LAT"),
        ("https", "The profile URL.", "https://kez.lat/@alice"), ("https-encoded", "The profile URL percent-encoded.", "https%3A%2F%2Fkez.lat%2F%40alice"), ("https-scheme-and-host-upper-case", "Scheme and host without case.", "HTTPS://KEZ.LAT/@alice"),
    ):
        good(name, comment, "resource=" + resource, "alice")
    good("handle-of-other-signs", "Digits, hyphen and underscore.", "resource=acct:a-1_b@kez.lat", "a-1_b")
    good("handle-3-bytes", "The shortest handle.", "resource=acct:abc@kez.lat", "abc")
    good("handle-32-bytes", "The longest handle.", "resource=acct:" + "a" * 32 + "@kez.lat", "a" * 32)
    good("reserved-handle", "Reserved names are well formed; they are answered as unknown later.", "resource=acct:admin@kez.lat", "admin")
    for name, comment, resource in (
        ("acct-other-host", "Another server's account.", "acct:alice@example.com"), ("acct-subdomain", "A subdomain is another host.", "acct:alice@chat.kez.lat"), ("acct-host-suffix", "A longer name is another host.", "acct:alice@kez.lat.example.com"), ("acct-host-trailing-dot", "A trailing dot is another spelling.", "acct:alice@kez.lat."), ("acct-host-port", "acct has no port.", "acct:alice@kez.lat:443"), ("acct-no-host", "No host.", "acct:alice"), ("acct-empty-host", "An empty host.", "acct:alice@"), ("acct-empty-handle", "An empty handle.", "acct:@kez.lat"), ("acct-nothing", "Nothing after the scheme.", "acct:"), ("acct-two-at-signs", "Two at signs.", "acct:alice@example.com@kez.lat"), ("acct-leading-at", "An at sign first.", "acct:@alice@kez.lat"), ("acct-slashes", "acct has no authority.", "acct://alice@kez.lat"),
        ("acct-handle-upper-case", "Handles are compared with case.", "acct:Alice@kez.lat"), ("acct-handle-too-short", "2 bytes are no handle.", "acct:al@kez.lat"), ("acct-handle-too-long", "33 bytes are no handle.", "acct:" + "a" * 33 + "@kez.lat"), ("acct-handle-hyphen-first", "No handle.", "acct:-alice@kez.lat"), ("acct-handle-dot", "No handle.", "acct:al.ice@kez.lat"), ("acct-handle-plus", "A plus stays a plus, so this is no handle.", "acct:al+ice@kez.lat"), ("acct-handle-non-ascii", "No handle.", "acct:%C3%A4lice@kez.lat"), ("acct-encoded-twice", "Decoded once: %61 stays, so this is no handle.", "acct:%2561lice@kez.lat"),
        ("http", "The profile URL is https.", "http://kez.lat/@alice"), ("https-other-host", "Another server.", "https://example.com/@alice"), ("https-no-at", "No at sign.", "https://kez.lat/alice"), ("https-root", "The root.", "https://kez.lat/"), ("https-empty-handle", "An empty handle.", "https://kez.lat/@"), ("https-deeper-path", "A deeper path.", "https://kez.lat/@alice/posts"), ("https-trailing-slash", "A trailing slash is another path.", "https://kez.lat/@alice/"), ("https-query", "A query is another URL.", "https://kez.lat/@alice%3Fx=1"), ("https-fragment", "A fragment is another URL.", "https://kez.lat/@alice%23x"), ("https-user", "A user in the authority.", "https://alice@kez.lat/@alice"), ("https-handle-upper-case", "Handles are compared with case.", "https://kez.lat/@Alice"), ("https-one-slash", "No authority.", "https:/kez.lat/@alice"), ("https-qualified", "The qualified handle is not a handle.", "https://kez.lat/@alice@kez.lat"), ("https-port", "Another port is another authority.", "https://kez.lat:8443/@alice"),
        ("mailto", "Another scheme.", "mailto:alice@kez.lat"), ("did", "Another scheme.", "did:plc:abc"), ("urn", "Another scheme.", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), ("unknown-scheme", "Any scheme is well formed.", "x-y+z.1:alice"), ("kez-identifier", "An identifier looks like a URI.", "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12"),
    ):
        good("null-" + name, comment, "resource=" + resource, None)
    good("rel-one", "One rel.", "resource=acct:alice@kez.lat&rel=self", "alice", ["self"])
    good("rel-repeated", "rel may repeat.", "resource=acct:alice@kez.lat&rel=self&rel=http%3A%2F%2Fwebfinger.net%2Frel%2Fprofile-page", "alice", ["self", "http://webfinger.net/rel/profile-page"])
    good("rel-before-resource", "The order of parameters does not matter.", "rel=self&resource=acct:alice@kez.lat", "alice", ["self"])
    good("rel-around-resource", "rel before and after.", "rel=self&resource=acct:alice@kez.lat&rel=avatar", "alice", ["self", "avatar"])
    good("rel-plus", "A plus is a plus.", "resource=acct:alice@kez.lat&rel=a+b", "alice", ["a+b"])
    good("rel-unknown", "An unknown rel filters everything out, later.", "resource=acct:alice@kez.lat&rel=nothing", "alice", ["nothing"])
    good("unknown-parameter", "Unknown parameters are ignored.", "resource=acct:alice@kez.lat&format=json", "alice")
    good("unknown-parameter-first", "Unknown parameters are ignored.", "x=1&resource=acct:alice@kez.lat", "alice")
    good("equals-in-value", "Only the first equals sign splits.", "resource=https://kez.lat/@alice?a=b", None)
    good("rfc-7033-3-1", "The example of section 3.1.", "resource=acct%3Acarol%40example.com&rel=http%3A%2F%2Fopenid.net%2Fspecs%2Fconnect%2F1.0%2Fissuer", None, ["http://openid.net/specs/connect/1.0/issuer"])
    good("rfc-7033-3-2", "The example of section 3.2.", "resource=http%3A%2F%2Fblog.example.com%2Farticle%2Fid%2F314", None)
    good("rfc-7033-4-3", "The example of section 4.3.", "resource=acct%3Abob%40example.com&rel=http%3A%2F%2Fwebfinger.example%2Frel%2Fprofile-page&rel=http%3A%2F%2Fwebfinger.example%2Frel%2Fbusinesscard", None, ["http://webfinger.example/rel/profile-page", "http://webfinger.example/rel/businesscard"])

    for name, comment, query in (
        ("empty-query", "No parameters.", ""), ("no-resource", "No resource.", "rel=self"), ("resource-empty", "An empty resource.", "resource="), ("resource-without-equals", "resource without a value.", "resource"), ("resource-empty-with-rel", "An empty resource.", "resource=&rel=self"), ("resource-upper-case-name", "Names of parameters are compared with case.", "RESOURCE=acct:alice@kez.lat"), ("resource-repeated", "Two resources.", "resource=acct:alice@kez.lat&resource=acct:bob@kez.lat"), ("resource-repeated-same", "The same resource twice.", "resource=acct:alice@kez.lat&resource=acct:alice@kez.lat"), ("resource-repeated-apart", "Two resources around a rel.", "resource=acct:alice@kez.lat&rel=self&resource=acct:bob@kez.lat"), ("resource-repeated-empty", "The second is empty.", "resource=acct:alice@kez.lat&resource="),
        ("no-scheme", "No scheme.", "resource=alice@kez.lat"), ("no-scheme-bare-handle", "No scheme.", "resource=alice"), ("no-scheme-host", "No scheme.", "resource=kez.lat"), ("no-scheme-relative", "A relative reference.", "resource=//kez.lat/@alice"), ("no-scheme-path", "A path.", "resource=/@alice"), ("no-scheme-leading-at", "A Fediverse spelling.", "resource=@alice@kez.lat"), ("scheme-empty", "An empty scheme.", "resource=:alice@kez.lat"), ("scheme-digit-first", "A scheme starts with a letter.", "resource=1acct:alice@kez.lat"), ("scheme-underscore", "A scheme has no underscore.", "resource=ac_ct:alice@kez.lat"), ("scheme-plus-first", "A plus is a plus, and no letter.", "resource=+acct:alice@kez.lat"), ("scheme-space", "White space in the scheme.", "resource=%20acct:alice@kez.lat"), ("scheme-non-ascii", "A letter beyond ASCII in the scheme.", "resource=%C3%A4cct:alice@kez.lat"), ("encoded-twice", "Decoded once there is no colon.", "resource=acct%253Aalice%2540kez.lat"), ("colon-after-slash", "The colon is not a scheme's.", "resource=a/b:c"),
        ("percent-alone", "A percent sign without digits.", "resource=acct:al%ice@kez.lat"), ("percent-at-end", "A percent sign at the end.", "resource=acct:alice@kez.lat%"), ("percent-one-digit", "One digit.", "resource=acct:alice@kez.lat%4"), ("percent-no-hex", "No hex digits.", "resource=acct:alice%zz@kez.lat"), ("percent-sign-in-digits", "A sign for a digit.", "resource=acct:alice%+4@kez.lat"), ("percent-u", "JavaScript's escape().", "resource=acct:%u0061lice@kez.lat"),
        ("utf-8-byte-ff", "Not UTF-8 after decoding.", "resource=acct:alice%FF@kez.lat"), ("utf-8-overlong", "Overlong UTF-8 after decoding.", "resource=acct:alice%C0%AF@kez.lat"), ("utf-8-truncated", "Truncated UTF-8 after decoding.", "resource=acct:alice%E2%82@kez.lat"), ("utf-8-surrogate", "An encoded surrogate after decoding.", "resource=acct:alice%ED%A0%BD@kez.lat"), ("utf-8-latin-1", "Latin-1 after decoding.", "resource=acct:%E4lice@kez.lat"),
    ):
        bad(name, comment, query)


def main():
    for topic in (ed25519, jcs, strict_json, identifier, handle, server_name, timestamp, phrase, registration, envelopes, webfinger):
        topic()
    for part in (documents, devices, leaving, mls, calls, e2e):
        part.write(sys.modules[__name__])
    stale = [p for p, text in FILES.items() if not (ROOT / p).is_file() or (ROOT / p).read_text("ascii") != text]
    if "--check" in sys.argv:
        sys.exit("differs: " + " ".join(sorted(stale)) if stale else None)
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(FILES[path], "ascii")
    print(f"{len(FILES)} files are ours, {len(stale)} written")


if __name__ == "__main__":
    main()
