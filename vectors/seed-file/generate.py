"""Writes the seed-file vectors. SPEC "Seed file".

    pip install argon2-cffi cryptography
    python vectors/seed-file/generate.py

Deterministic, and independent of the Rust code: Argon2id is the reference implementation in C (argon2-cffi),
ChaCha20-Poly1305 and Ed25519 are OpenSSL's (cryptography).
"""

import hashlib
import json
import pathlib

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

ROOT = pathlib.Path(__file__).resolve().parent
LONG = bytes([0x42] * 32)
SHORT = bytes(16)
PASSPHRASE = "correct horse battery staple"
SALT = bytes(range(16))
NONCE = bytes(range(0xA0, 0xAC))


def seed_of(entropy):
    return entropy if len(entropy) == 32 else hashlib.sha256(b"kez-bip39-12-v1" + entropy).digest()


def primary_of(entropy):
    key = Ed25519PrivateKey.from_private_bytes(seed_of(entropy)).public_key()
    return "ed25519:" + key.public_bytes_raw().hex()


def plain(entropy):
    return {"kez": "seed_file", "version": 1, "primary": primary_of(entropy), "entropy": entropy.hex()}


def sealed(entropy, passphrase=PASSPHRASE, memory_kib=65536, passes=3, lanes=1):
    key = hash_secret_raw(passphrase.encode(), SALT, passes, memory_kib, lanes, 32, Type.ID)
    primary = primary_of(entropy)
    ciphertext = ChaCha20Poly1305(key).encrypt(NONCE, entropy, b"kez-seed-file-v1\0" + primary.encode())
    costs = {"kdf": "argon2id", "memory_kib": memory_kib, "passes": passes, "lanes": lanes, "salt": SALT.hex()}
    cipher = {"cipher": "chacha20poly1305", "nonce": NONCE.hex(), "ciphertext": ciphertext.hex()}
    return {"kez": "seed_file", "version": 1, "primary": primary, "sealed": costs | cipher}


def with_sealed(file, **members):
    return file | {"sealed": file["sealed"] | members}


def put(side, name, comment, passphrase, file, **members):
    path = ROOT / side / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    vector = {"comment": comment, "passphrase": passphrase, "file": file, **members}
    path.write_text(json.dumps(vector, indent=2, ensure_ascii=False) + "\n", "utf-8")


def valid(name, comment, passphrase, file, entropy):
    put("valid", name, comment, passphrase, file, seed=seed_of(entropy).hex())


def invalid(name, comment, error, file, passphrase=PASSPHRASE):
    put("invalid", name, comment, passphrase, file, error=error)


valid("plain-24-words", "Without a passphrase; the entropy is the seed.", None, plain(LONG), LONG)
valid("plain-12-words", "Without a passphrase; the seed is derived from 16 bytes.", None, plain(SHORT), SHORT)
valid("sealed-24-words", "The costs of new files.", PASSPHRASE, sealed(LONG), LONG)
valid("sealed-12-words", "16 bytes of entropy under a passphrase.", PASSPHRASE, sealed(SHORT), SHORT)
valid("sealed-other-costs", "A reader takes the costs from the file: 19 MiB, 2 passes, 2 lanes.",
      PASSPHRASE, sealed(LONG, memory_kib=19456, passes=2, lanes=2), LONG)
valid("sealed-passphrase-not-ascii", "The UTF-8 bytes of the passphrase as typed; spaces at the ends count.",
      " käse und brot 🧀 ", sealed(LONG, " käse und brot 🧀 "), LONG)

file = sealed(LONG)
invalid("wrong-passphrase", "One letter differs.", "wrong_passphrase", file, PASSPHRASE + "s")
invalid("primary-of-somebody-else", "The key in the clear is authenticated with the entropy.",
        "wrong_passphrase", file | {"primary": primary_of(SHORT)})
invalid("ciphertext-changed", "The last bit of the tag is flipped.", "wrong_passphrase",
        with_sealed(file, ciphertext=file["sealed"]["ciphertext"][:-1]
                    + format(int(file["sealed"]["ciphertext"][-1], 16) ^ 1, "x")))
invalid("no-passphrase-given", "Sealed, and nobody typed anything.", "passphrase_needed", file, None)
invalid("newer-version", "Written by a newer program.", "seed_file_newer", file | {"version": 2})
invalid("other-tag", "Another document.", "seed_file_damaged", plain(LONG) | {"kez": "claim"})
invalid("entropy-of-another-key", "Without a passphrase the key is checked by deriving it.",
        "seed_file_damaged", plain(LONG) | {"entropy": "43" * 32})
invalid("entropy-of-31-bytes", "Neither 16 nor 32 bytes.", "seed_file_damaged",
        plain(LONG) | {"entropy": "42" * 31})
invalid("entropy-in-upper-case", "Hex is lower case.", "seed_file_damaged", plain(LONG) | {"entropy": "AB" * 32})
invalid("both-plain-and-sealed", "Exactly one of the two stands in a file.", "seed_file_damaged",
        file | {"entropy": LONG.hex()})
invalid("neither-plain-nor-sealed", "Exactly one of the two stands in a file.", "seed_file_damaged",
        {name: value for name, value in file.items() if name != "sealed"})
invalid("unknown-member", "No other members.", "seed_file_damaged", plain(LONG) | {"note": "mine"})
invalid("other-kdf", "Version 1 knows argon2id only.", "seed_file_damaged", with_sealed(file, kdf="argon2i"))
invalid("other-cipher", "Version 1 knows chacha20poly1305 only.", "seed_file_damaged",
        with_sealed(file, cipher="aes-256-gcm"))
invalid("salt-of-15-bytes", "A salt has 16 bytes.", "seed_file_damaged", with_sealed(file, salt="00" * 15))
invalid("costs-too-much-memory", "One KiB above 1 GiB: refused before any work.", "seed_file_damaged",
        with_sealed(file, memory_kib=1024 * 1024 + 1))
invalid("costs-too-many-passes", "More than 16 passes: refused before any work.", "seed_file_damaged",
        with_sealed(file, passes=17))
