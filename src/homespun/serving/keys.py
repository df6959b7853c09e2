"""API keys: made here, shown once, kept as hashes.

A key has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess that a slow
hash would protect. A key somebody thought up is refused where it is short.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from homespun.core import Config, ConfigError, DataError, parse_config
from homespun.core.files import one_at_a_time, read_json, write_json

PREFIX = "hs-"
_LONGEST_KEY = 512
_SHORTEST_KEY = 16


class KeyFile(Config):
    """What is on disk: names of keys with their SHA-256, in hex."""

    format: int = Field(1, ge=1, le=1)
    keys: dict[str, str] = Field(default_factory=dict)


class KeyRing:
    """The keys a server takes.

    Args:
        hashes: SHA-256 of each key, in hex, by its name.
        secret: what salts are made of; new with every start unless given.
    """

    def __init__(self, hashes: Mapping[str, str] | None = None, *, secret: bytes = b"") -> None:
        self._hashes = {name: bytes.fromhex(value) for name, value in (hashes or {}).items()}
        self._secret = secret or secrets.token_bytes(32)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def name_of(self, key: bytes) -> str | None:
        """The name of a key; None for one that is not known. All are compared, each in the same
        time whatever differs."""
        if len(key) > _LONGEST_KEY:
            return None
        digest = hashlib.sha256(key).digest()
        found = None
        for name, known in self._hashes.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def salt_of(self, name: str) -> bytes:
        """What only this key's requests share of remembered prompts."""
        return hmac.digest(self._secret, name.encode(), "sha256")


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """Raises ConfigError where a key is too short to be one, or no request could send it."""
    is_sendable = key.isascii() and key.isprintable() and key == key.strip()
    if not (_SHORTEST_KEY <= len(key) <= _LONGEST_KEY and is_sendable):
        raise ConfigError(
            f"a key has {_SHORTEST_KEY} to {_LONGEST_KEY} printable ASCII characters",
            got=f"{len(key)} characters" if is_sendable else "others",
            remedy="let `homespun serve --new-key NAME --keys FILE` make one",
        )
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> dict[str, str]:
    """Hashes by name. Raises ConfigError or DataError where the file is no key file."""
    if not path.is_file():
        raise DataError(
            f"there is no file of keys {path}",
            remedy=f"make one with `homespun serve --new-key NAME --keys {path}`",
        )
    remedy = "name a file that `homespun serve --new-key` wrote"
    found = parse_config(KeyFile, read_json(path, remedy=remedy), where=str(path)).keys
    for name, value in found.items():
        if len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise ConfigError(
                f"the key '{name}' in {path} is not a SHA-256 in hex",
                remedy="make it anew with `homespun serve --new-key`",
            )
    return found


def add_key(path: Path, name: str) -> str:
    """Make a key and write its hash beside those there are; returns the key, which is kept nowhere.
    Of several calls at the same time each waits for the one before, so that all keys are kept.

    Raises:
        ConfigError: the name is taken, or the file is no key file.
        RunError: the folder cannot be written.
    """
    key = new_key()
    with one_at_a_time(path):
        keys = read_keys(path) if path.is_file() else {}
        if name in keys:
            raise ConfigError(
                f"there is a key '{name}' in {path} already", remedy="choose another name"
            )
        write_json(path, KeyFile(keys={**keys, name: hash_of(key)}).model_dump())
    return key
