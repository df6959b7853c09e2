"""Read a tokenizer back from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homespun.core import ConfigError, DataError, Tokenizer
from homespun.core.files import os_error, read_json
from homespun.tokenizer.chat import default_chat_template
from homespun.tokenizer.encoding import CONFIG_FILE, TOKENIZER_FILE, ByteLevelTokenizer
from homespun.tokenizer.imported import ImportedTokenizer, Marks


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a run, be it ours or one that came with an imported model.

    Raises:
        As `load_tokenizer`.
    """
    path = folder / CONFIG_FILE
    config = read_json(path) if path.is_file() else {}
    told = config.get("homespun") if isinstance(config, dict) else None
    if not isinstance(told, dict):
        return load_tokenizer(folder)
    try:
        marks = Marks(
            start=tuple(map(int, told["start"])),
            end_of_text=int(told["end_of_text"]),
            end_of_turn=int(told["end_of_turn"]),
            ends=tuple(map(int, told["ends"])),
        )
        document = (folder / TOKENIZER_FILE).read_bytes().decode("utf-8")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder} has no whole imported tokenizer: {type(error).__name__} {error}",
            remedy="import the model again",
        ) from error
    except OSError as error:
        raise os_error(error, f"reading {folder / TOKENIZER_FILE}") from error
    roles = {n: t for n, t in config.items() if n.endswith("_token") and isinstance(t, str)}
    return ImportedTokenizer(
        document,
        marks=marks,
        roles=roles,
        chat_template=_told_template(config, path),
        where=str(folder / TOKENIZER_FILE),
    )


def load_tokenizer(path: Path | str) -> ByteLevelTokenizer:
    """Load `tokenizer.json`, with the chat template of the `tokenizer_config.json` beside it.

    Args:
        path: the file, or the folder that holds it. Without a `tokenizer_config.json`, or with one
            that names no template, the chat template is the default one.

    Raises:
        DataError: a file is missing, damaged, or not a tokenizer of ours.
        ConfigError: the chat template is not valid.
    """
    path = Path(path)
    file = path / TOKENIZER_FILE if path.is_dir() else path
    try:
        # Bytes, not text mode: the hash is of the file, whatever its line ends.
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"there is no tokenizer in {path}", remedy="name a run or a tokenizer.json"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text", remedy="restore it or train the tokenizer again"
        ) from error
    except OSError as error:
        raise os_error(error, f"reading {file}") from error
    return ByteLevelTokenizer(
        text, chat_template=_chat_template(file.parent / CONFIG_FILE), where=str(file)
    )


def _chat_template(path: Path) -> str:
    if not path.exists():
        return default_chat_template()
    config = read_json(path)
    if not isinstance(config, dict):
        raise DataError(f"{path} is not a JSON object", remedy="restore it or remove it")
    template = _told_template(config, path)
    return default_chat_template() if template is None else template


def _told_template(config: Mapping[str, Any], path: Path) -> str | None:
    template = config.get("chat_template")
    if template is None or isinstance(template, str):
        return template
    raise DataError(f"chat_template in {path} is not a text", remedy="write one Jinja template")
