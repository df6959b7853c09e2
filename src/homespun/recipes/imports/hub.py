"""The files of a model on a Hugging Face hub: safetensors, config and tokenizer, nothing else.

Nothing that could be executed is fetched. Every file is checked against the hash that the hub gives
for it before it gets its name; one that is cut short goes on where it stopped, after a pause or
when it is asked for again. Two processes do not fetch into one folder at once.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from homespun.core import BudgetError, DataError, Progress, RequestError, Silent, Task
from homespun.core.files import atomic_path, one_at_a_time, os_error

ENDPOINT = "https://huggingface.co"
REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[0-9a-f]{7,64}")
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?", re.ASCII)
_POOLING = re.compile(r"\d{1,2}_Pooling/config\.json", re.ASCII)
"""How an encoder makes one vector of a text: modules.json names the folder."""
_WANTED = frozenset(
    {
        "chat_template.jinja",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
_BLOCK = 1 << 18
_TIMEOUT = 30.0
_LONGEST_ANSWER = 32 << 20  # bytes of what the hub says of a model
_NETWORK_ERRORS = (OSError, http.client.HTTPException)  # time-outs and TLS are of the first kind
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try."""
_LONGEST_PAUSE = 60.0  # that a hub may ask for

AnyT = TypeVar("AnyT")


class TransientError(DataError):
    """The network or the hub failed; another try may do.

    Attributes:
        wait: seconds that the hub asked to wait.
    """

    wait = 0.0


class RemoteFile(NamedTuple):
    """A file of a model, and what it must be.

    Attributes:
        name: in the model's folder.
        size: in bytes.
        sha256: of large files. git_sha1: of small ones, git's hash of a blob.
    """

    name: str
    size: int
    sha256: str
    git_sha1: str


def fetch_model(
    name: str, *, cache: Path, endpoint: str | None = None, progress: Progress | None = None
) -> Path:
    """Fetch the model "OWNER/NAME" in its newest version; files that are there are kept.

    Args:
        name: of the model.
        cache: folder for models; each version has one of its own inside.
        endpoint: address of the hub; $HF_ENDPOINT or huggingface.co where None.

    Returns:
        the model's folder.

    Raises:
        RequestError: it is no name of a model. DataError: the hub cannot be reached, has no such
            model or not as safetensors, or what came is not what it promised.
        BudgetError: the disk is too full.
    """
    if not REPOSITORY.fullmatch(name) or ".." in name:
        raise RequestError(
            "that is no name of a model", got=name, remedy="give it as hub:OWNER/NAME"
        )
    base = (endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise RequestError("the hub's address must be http or https", got=base)
    revision, files = _files(name, base)
    folder = cache / "hub" / name.replace("/", "--") / revision
    say = progress or Silent()
    waits = f"another process is fetching into {folder}; waiting for it"
    with one_at_a_time(folder, on_wait=lambda: say.say(waits)):
        missing = [file for file in files if not _is_there(folder / file.name, file)]
        _check_room(folder, sum(file.size for file in missing))
        task = say.task(f"fetching {name}", total=sum(file.size for file in files), unit="bytes")
        for file in files:
            if file not in missing:
                task.advance(file.size)
                continue
            url = f"{base}/{name}/resolve/{revision}/{urllib.parse.quote(file.name)}"
            _fetch(url, folder / file.name, file, task)
        task.finish()
    return folder


def _files(name: str, base: str) -> tuple[str, list[RemoteFile]]:
    """The newest version of a model, and those of its files that are wanted."""
    url = f"{base}/api/models/{name}?blobs=true"
    try:
        told = json.loads(_told(url))
        revision = str(told["sha"])
        files = [_remote(entry) for entry in told["siblings"] if _is_wanted(entry["rfilename"])]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{url} did not answer as a hub does",
            got=f"{type(error).__name__} {error}",
            remedy="check the address in HF_ENDPOINT",
        ) from error
    if not _REVISION.fullmatch(revision):
        raise DataError(f"{url} names a version that cannot be", got=revision)
    if not any(file.name.endswith(".safetensors") for file in files):
        raise DataError(
            f"{name} has no safetensors, and other files of weights are never opened",
            remedy="look for a version of the model in safetensors",
        )
    return revision, files


def _told(url: str) -> bytes:
    """What a hub says of a model."""

    def read() -> bytes:
        with _open(url) as response:
            try:
                data = response.read(_LONGEST_ANSWER)
            except _NETWORK_ERRORS as error:
                raise _unreachable(url, error) from error
            if response.length and len(data) < _LONGEST_ANSWER:  # what is still to come
                raise _unreachable(url, ConnectionError("it broke off"))
            return data

    return _patiently(read)


def _patiently(attempt: Callable[[], AnyT]) -> AnyT:
    """Try again, after longer and longer pauses, where the network or the hub failed."""
    for seconds in PAUSES:
        try:
            return attempt()
        except TransientError as error:
            time.sleep(max(seconds, error.wait))
    return attempt()


def _is_wanted(name: object) -> bool:
    if not isinstance(name, str):
        return False
    return name in _WANTED or any(kind.fullmatch(name) for kind in (_WEIGHTS, _POOLING))


def _remote(entry: dict[str, Any]) -> RemoteFile:
    large = entry.get("lfs") or {}
    file = RemoteFile(
        name=entry["rfilename"],
        size=int(large.get("size", entry.get("size", -1))),
        sha256=str(large.get("sha256", "")),
        git_sha1=str(entry.get("blobId", "")),
    )
    if file.size < 0 or not (file.sha256 or file.git_sha1):
        raise ValueError(f"{file.name} has no size or no hash")
    return file


def _fetch(url: str, path: Path, file: RemoteFile, task: Task) -> None:
    """Download one file beside its place, going on where an earlier try stopped; then check it."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.is_file() else 0
        if have > file.size:
            have = 0
        with open(part, "r+b" if have else "wb") as out:
            task.advance(have)
            out.seek(have)
            if have < file.size or file.size == 0:
                _patiently(lambda: _append(url, out, file, task))
        problem = _problem(part, file)
        if problem:
            part.unlink()
            raise DataError(
                f"{url} is not the file that the hub promised", got=problem, remedy="try again"
            )
        with atomic_path(path) as temporary:
            os.replace(part, temporary)
    except OSError as error:
        raise os_error(error, f"writing {path}") from error


def _append(url: str, out: BinaryIO, file: RemoteFile, task: Task) -> None:
    """Write what is still missing, at most what the file should hold.

    Raises TransientError where it breaks off; what came is kept.
    """
    have = out.tell()
    with _open(url, start=have) as response:
        if have and response.status != http.HTTPStatus.PARTIAL_CONTENT:
            task.advance(-have)  # the server does not know how to go on: from the beginning
            have = 0
        out.seek(have)
        out.truncate()
        while have <= file.size:
            try:
                block = response.read(_BLOCK)
            except _NETWORK_ERRORS as error:
                raise _unreachable(url, error) from error
            if not block:
                break
            out.write(block)
            have += len(block)
            task.advance(len(block))
    if have < file.size:
        raise _unreachable(url, ConnectionError(f"it broke off after {have:,} bytes"))


def _open(url: str, *, start: int = 0) -> http.client.HTTPResponse:
    headers = {"User-Agent": "homespun", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        )
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 404):
            raise DataError(
                f"the hub has nothing at {url} for everyone",
                got=f"HTTP {error.code}",
                remedy="check the name; a model behind a licence must be fetched by hand and "
                "imported as a folder",
            ) from error
        kind = TransientError if error.code == 429 or error.code >= 500 else DataError
        failed = kind(
            f"{url} cannot be fetched", got=f"HTTP {error.code}", remedy="try again later"
        )
        wait = error.headers.get("Retry-After", "")
        if isinstance(failed, TransientError) and wait.isascii() and wait.isdigit():
            failed.wait = min(float(wait), _LONGEST_PAUSE)
        raise failed from error
    except _NETWORK_ERRORS as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> TransientError:
    return TransientError(
        f"{urllib.parse.urlsplit(url).netloc} cannot be reached",
        got=str(getattr(error, "reason", error)) or type(error).__name__,
        remedy="run it again with a network, it goes on where it stopped; or fetch the model's "
        "folder another way and give that to `homespun import`",
    )


def _is_there(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _problem(path: Path, file: RemoteFile) -> str:
    """What is wrong with a file, empty where nothing is."""
    size = path.stat().st_size
    if size != file.size:
        return f"{size:,} bytes, not {file.size:,}"
    if file.sha256:
        with open(path, "rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        return "" if found == file.sha256 else f"sha256 {found}"
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            blob.update(block)
    return "" if blob.hexdigest() == file.git_sha1 else f"git hash {blob.hexdigest()}"


def _check_room(folder: Path, wanted: int) -> None:
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise BudgetError(
            f"the model takes {wanted:,} bytes and {there} has room for {free:,}",
            remedy="free some disk, or set HOMESPUN_CACHE to a folder with more room",
        )
