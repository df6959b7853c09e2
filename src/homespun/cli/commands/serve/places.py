"""What is to be served, by which names the server is called, and who may ask."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from pathlib import Path

from homespun.cli.options import resolve_run, run_name

KEY_VARIABLE = "HOMESPUN_API_KEY"
KEY_NAME = "environment"
"""What the key of that variable is called."""


def key_hashes(keys: Path | None) -> dict[str, str]:
    """Of the keys in the file, and of the one in the environment.

    Raises ConfigError where a file is given and there is none: a server without keys answers
    everybody. Where the one in the environment cannot be a key, or has the name of another.
    """
    from homespun.core import ConfigError
    from homespun.serving import hash_of, read_keys

    hashes = {} if keys is None else read_keys(keys)
    # Files of secrets often end with a line break, which no request can send.
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key:
        if KEY_NAME in hashes:
            raise ConfigError(
                f"{keys} has a key called '{KEY_NAME}', as the one in {KEY_VARIABLE} is",
                remedy=f"leave {KEY_VARIABLE} unset, or give the other one another name",
            )
        try:
            hashes[KEY_NAME] = hash_of(key)
        except ConfigError as error:
            raise ConfigError(f"{KEY_VARIABLE}: {error}") from error
    if keys is not None and not hashes:
        raise ConfigError(
            f"{keys} has no keys, and without any everybody would be answered",
            remedy=f"add one with `homespun serve --new-key NAME --keys {keys}`, or leave --keys "
            "out",
        )
    return hashes


def host_names(host: str, allowed: list[str]) -> list[str]:
    from homespun.serving import LOOPBACK

    own = [] if host in ("0.0.0.0", "::", "") else [host]
    return [*LOOPBACK, *map(_as_asked, [*own, *allowed])]


def _as_asked(name: str) -> str:
    """A name or address as the header Host has it: letters beyond ASCII in the way of the domain
    name system, IPv6 in brackets. Raises ConfigError for what no request can name."""
    from homespun.core import ConfigError

    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        return f"[{address}]" if address.version == 6 else str(address)
    found = ""
    with contextlib.suppress(UnicodeError):
        found = name.encode("idna").decode("ascii")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", found):
        raise ConfigError(
            "a name by which this server may be called has no scheme, port or path",
            got=name,
            remedy="write it as in --allow-host models.example",
        )
    return found


def places_of(given: list[str], *, runs: Path) -> list[tuple[str, Path]]:
    """Names and folders of what is to be served."""
    from homespun.core import ConfigError, RunError
    from homespun.recipes.serve import makes_vectors, runs_in, serves_task

    if not given:
        return [(path.name, path) for path in runs_in(runs)]
    places = []
    for word in given:
        name, equals, path = word.partition("=")
        if equals and not path:
            raise ConfigError(
                f"'{name}' is to be the name of a run, and none follows",
                got=word,
                remedy="write both without a space, as in small=runs/tales",
            )
        folder = Path(path if equals else word)
        if serves_task(folder) or makes_vectors(folder):
            own = folder.name or folder.resolve().name  # a link's own, where it leads to a hash
            places.append((run_name(name if equals else own) or own, folder))
            continue
        is_model = (folder / "config.json").is_file() and not (folder / "run.json").is_file()
        if is_model:
            raise RunError(
                f"{folder} is a Hugging Face model and no run",
                remedy=f"make a run of it with `homespun import {folder}`",
            )
        if not equals and folder.is_dir() and not (folder / "run.json").is_file():
            places += [(path.name, path) for path in runs_in(folder)]
            continue
        found = resolve_run(folder, runs=runs)
        places.append(((run_name(name) if equals else "") or found.resolve().name, found))
    return places
