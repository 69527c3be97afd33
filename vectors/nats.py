"""Captures what real nats-servers ask an auth callout, and makes forgeries of it. Not run by generate.py: each run gives
other nonces and keys.

    pip install nkeys pynacl
    python3 nats.py <nats-server> <name>      # once for each version
"""

import base64
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import nkeys
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey

HERE = pathlib.Path(__file__).parent
PLAIN = HERE / "device" / "valid" / "plain.json"
CURVE = 23 << 3


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sum16(data):
    return nkeys.crc16(bytearray(data)).to_bytes(2, "little")


def public(prefix, key):
    raw = bytes([prefix]) + key
    return base64.b32encode(raw + sum16(raw)).rstrip(b"=").decode()


def seed_text(prefix, seed):
    """As nkeys.encode_seed does, which knows no curve keys."""
    raw = bytes([nkeys.PREFIX_BYTE_SEED | prefix >> 5, (prefix & 31) << 3]) + seed
    return base64.b32encode(raw + sum16(raw)).rstrip(b"=").decode()


def pair(prefix, seed):
    return nkeys.from_seed(nkeys.encode_seed(seed, prefix))


def secret(name):
    return hashlib.sha256(b"kez-vectors/nats/" + name.encode()).digest()


AUTH_SEED = hashlib.sha256(b"kez vectors alice phone auth").digest()
ISSUER, AUTH = pair(nkeys.PREFIX_BYTE_ACCOUNT, secret("issuer")), pair(nkeys.PREFIX_BYTE_USER, secret("auth"))
XKEY = PrivateKey(secret("xkey"))
XKEY_SEED = seed_text(CURVE, secret("xkey"))
XKEY_TEXT = public(CURVE, bytes(XKEY.public_key))


def key_text(pair):
    return pair.public_key.decode()


class Peer:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        self.info = json.loads(self.file.readline()[5:])

    def say(self, text):
        self.socket.sendall(text.encode())

    def connect(self, seed, **more):
        signature = SigningKey(seed).sign(self.info["nonce"].encode()).signature
        connect = {"verbose": False, "pedantic": False, "headers": True, "lang": "py", "version": "1", "protocol": 1,
                   "nkey": public(nkeys.PREFIX_BYTE_USER, bytes(SigningKey(seed).verify_key)), "sig": b64(signature), **more}
        self.say(f"CONNECT {json.dumps(connect)}\r\nPING\r\n")


def capture(program, auth_seed, token):
    """A request as the callout gets it: header, sealed bytes, time."""
    with tempfile.TemporaryDirectory() as folder:
        conf = pathlib.Path(folder, "nats.conf")
        conf.write_text(f"""
listen: "127.0.0.1:-1"
accounts {{ AUTH {{ users: [ {{ nkey: {key_text(AUTH)} }} ] }}, CHAT {{ users: [] }} }}
authorization {{ auth_callout {{ issuer: {key_text(ISSUER)}, account: AUTH, auth_users: [ {key_text(AUTH)} ], xkey: {XKEY_TEXT} }} }}
""")
        server = subprocess.Popen([program, "-c", conf, "--ports_file_dir", folder], stderr=subprocess.DEVNULL)
        try:
            ports = None
            while ports is None:
                time.sleep(0.05)
                for file in pathlib.Path(folder).glob("*.ports"):
                    text = file.read_text()
                    ports = json.loads(text) if text else None
            port = int(ports["nats"][0].rsplit(":", 1)[1])
            callout = Peer(port)
            callout.connect(secret("auth"))
            callout.say("SUB $SYS.REQ.USER.AUTH 1\r\nPING\r\n")
            pongs = 0
            while pongs < 2:  # after CONNECT and after SUB
                pongs += callout.file.readline().startswith(b"PONG")
            client = Peer(port)
            client.connect(auth_seed, **({"auth_token": token} if token else {}))
            line = [b""]
            while line[0] != b"HMSG":
                line = callout.file.readline().split()
            head, total = int(line[-2]), int(line[-1])
            data = callout.file.read(total)
            header = [l for l in data[:head].decode().split("\r\n") if l.startswith("Nats-Server-Xkey")]
            return header[0].split(":")[1].strip(), data[head:], int(time.time())
        finally:
            server.kill()
            server.wait()


def opened(xkey, sealed):
    key = PublicKey(base64.b32decode(xkey)[1:33])
    return Box(XKEY, key).decrypt(sealed[28:], sealed[4:28])


def forge(token, change, signer, head=b'{"typ":"JWT","alg":"ed25519-nkey"}', sign=True):
    claims = json.loads(unb64(token.decode().split(".")[1]))
    change(claims)
    signed = b64(head) + "." + b64(json.dumps(claims).encode())
    signature = signer.sign(signed.encode()) if sign else bytes(64)
    return f"{signed}.{b64(signature)}".encode()


def write(kind, name, value):
    folder = HERE / "nats-callout" / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main(program, version):
    plain = json.loads(PLAIN.read_text())
    auth_seed = AUTH_SEED
    assert bytes(SigningKey(auth_seed).verify_key).hex() == plain["auth_key"][8:]
    token = b64(plain["canonical"].encode())
    common = {"xkey_seed": XKEY_SEED, "issuer": key_text(ISSUER), "server": "kez.lat"}
    for how, seed, sent in (("device", auth_seed, token), ("primary", bytes([0x42]) * 32, None)):
        xkey, sealed, now = capture(program, seed, sent)
        claims = json.loads(unb64(opened(xkey, sealed).decode().split(".")[1]))
        write("valid", f"{version}-{how}", {
            "comment": f"Asked by a real nats-server {version} about a login of a {how}.", **common,
            "xkey": xkey, "now": now, "sealed": b64(sealed), "how": how, "account": plain["primary"],
            "user_nkey": claims["nats"]["user_nkey"], "server_nkey": claims["iss"],
        })
    if version.startswith("2.15"):
        forgeries(common, opened(xkey, sealed), xkey, now)


def forgeries(common, token, xkey, now):
    server = pair(nkeys.PREFIX_BYTE_SERVER, secret("server"))
    other = pair(nkeys.PREFIX_BYTE_SERVER, secret("other"))
    ours = PrivateKey(secret("server-xkey"))
    ours_text = public(CURVE, bytes(ours.public_key))

    def mine(claims):
        claims["iss"] = claims["nats"]["server_id"]["id"] = key_text(server)
        claims["nats"]["server_id"]["xkey"] = ours_text

    def both(change):
        def changed(claims):
            mine(claims)
            change(claims)
        return changed

    def put(*path, value):
        def change(claims):
            for name in path[:-1]:
                claims = claims[name]
            claims[path[-1]] = value
        return both(change)

    cases = {
        "another-alg": (forge(token, mine, server, head=b'{"typ":"JWT","alg":"none"}'), "alg"),
        "two-parts": (forge(token, mine, server).rsplit(b".", 1)[0], "malformed"),
        "not-signed": (forge(token, mine, server, sign=False), "signature"),
        "signed-by-another": (forge(token, mine, other), "signature"),
        "iss-a-user": (forge(token, put("iss", value=key_text(AUTH)), AUTH), "signature"),
        "another-audience": (forge(token, put("aud", value="nats-authorization-response"), server), "aud"),
        "for-another-issuer": (forge(token, put("sub", value=key_text(AUTH)), server), "sub"),
        "server-id-of-another": (forge(token, put("nats", "server_id", "id", value=key_text(other)), server), "server_id.id"),
        "xkey-of-another": (forge(token, put("nats", "server_id", "xkey", value=XKEY_TEXT), server), "server_id.xkey"),
        "another-type": (forge(token, put("nats", "type", value="user"), server), "type"),
        "another-version": (forge(token, put("nats", "version", value=3), server), "version"),
        "no-jti": (forge(token, put("jti", value=""), server), "jti"),
        "over": (forge(token, put("exp", value=now), server), "expires"),
        "ends-too-late": (forge(token, put("exp", value=now + 11), server), "expires"),
        "no-user-nkey": (forge(token, put("nats", "user_nkey", value=""), server), "user_nkey"),
        "no-nonce": (forge(token, put("nats", "client_info", "nonce", value=""), server), "nonce"),
        "a-long-nonce": (forge(token, put("nats", "client_info", "nonce", value="a" * 65), server), "nonce"),
        "a-nonce-of-json": (forge(token, put("nats", "client_info", "nonce", value='{"a":"0123456789"}'), server), "nonce"),
        "not-a-client": (forge(token, put("nats", "client_info", "kind", value="Leafnode"), server), "kind"),
        "over-mqtt": (forge(token, put("nats", "client_info", "type", value="mqtt"), server), "kind"),
        "a-password-beside": (forge(token, put("nats", "connect_opts", "pass", value="x"), server), "other_credential"),
        "another-signature": (forge(token, put("nats", "connect_opts", "sig", value=b64(bytes(64))), server), "signature_over_nonce"),
        "a-broken-token": (forge(token, put("nats", "connect_opts", "auth_token", value="e30"), server), "token"),
    }
    for name, (forged, error) in cases.items():
        nonce = hashlib.sha256(name.encode()).digest()[:24]
        sealed = b"xkv1" + nonce + Box(ours, XKEY.public_key).encrypt(forged, nonce).ciphertext
        write("invalid", name, {"comment": "A forgery of a real request. SPEC, Auth callout.", **common, "xkey": ours_text,
                                "now": now, "sealed": b64(sealed), "error": error})


if __name__ == "__main__":
    main(*sys.argv[1:])
