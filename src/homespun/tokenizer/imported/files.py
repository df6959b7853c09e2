"""The tokenizer in a Hugging Face folder, whatever its files: one `tokenizer.json`, and what the
files beside it say of its control tokens and its chat template. No code of the folder is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError, DataError
from homespun.core.files import os_error, read_json
from homespun.tokenizer.imported.pieces import Pieces, read_pieces
from homespun.tokenizer.imported.sentencepiece import read_sentencepiece
from homespun.tokenizer.imported.tokenizer import Marks, backend
from homespun.tokenizer.layout import gpt2_document

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>")


class ImportedFiles(NamedTuple):
    """What an `ImportedTokenizer` is made from.

    Attributes:
        document: text of a tokenizer.json.
        marks: which tokens begin and end texts and messages.
        roles: strings of control tokens by the names that templates know them by.
        chat_template: Jinja text, None where the model cannot chat.
    """

    document: str
    marks: Marks
    roles: dict[str, str]
    chat_template: str | None


def read_tokenizer_files(folder: Path) -> ImportedFiles:
    """Read what there is: `tokenizer.json`, else `tokenizer.model` or `spiece.model`, else
    GPT-2's `vocab.json` and `merges.txt`; `tokenizer_config.json`, `special_tokens_map.json`,
    `chat_template.jinja`, `generation_config.json` and `config.json` where there are any.

    Raises:
        DataError: there is no tokenizer, or it is damaged or of an unknown kind.
        ConfigError: it asks for code of its own.
    """
    config = _object(folder / "tokenizer_config.json")
    if config.get("auto_map"):
        raise ConfigError(
            f"{folder}'s tokenizer asks for code of its own (auto_map), which is never run",
            got=config["auto_map"],
            remedy="take a version with a class of transformers' own",
        )
    text = _document(folder, config)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{folder / 'tokenizer.json'} is not JSON", remedy="fetch it") from error
    pieces = read_pieces(document, where=f"the tokenizer in {folder}")
    roles = {**_roles(_object(folder / "special_tokens_map.json")), **_roles(config)}
    template = _chat_template(folder, config)
    ids = {**_object(folder / "config.json"), **_object(folder / "generation_config.json")}
    marks = _marks(document, pieces, roles, config, ids, folder)
    return ImportedFiles(text, marks, roles, template)


def _document(folder: Path, config: Mapping[str, Any]) -> str:
    path = folder / "tokenizer.json"
    if path.is_file():
        return _text(path)
    for name in ("tokenizer.model", "spiece.model"):
        if (folder / name).is_file():
            return json.dumps(read_sentencepiece(folder / name), ensure_ascii=False)
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    if vocab.is_file() and merges.is_file():
        _check_gpt2(folder, config)
        return json.dumps(_gpt2_document(read_json(vocab), _text(merges)), ensure_ascii=False)
    raise DataError(
        f"there is no tokenizer in {folder}",
        remedy="it should have a tokenizer.json, a tokenizer.model or spiece.model, or vocab.json "
        "and merges.txt",
    )


_AS_GPT2 = ("GPT2Tokenizer", "gpt2", "gpt_neo", "gptj", "gpt_bigcode")
"""Classes of tokenizers, and where none is told kinds of models, that cut as GPT-2 does."""


def _check_gpt2(folder: Path, config: Mapping[str, Any]) -> None:
    """Others write the same two files (Qwen, RoBERTa, CLIP), and cut texts otherwise."""
    told = config.get("tokenizer_class")
    kind = told or _object(folder / "config.json").get("model_type") or "gpt2"
    if str(kind).removesuffix("Fast") not in _AS_GPT2:
        raise DataError(
            f"{folder} has vocab.json and merges.txt, which do not say how its texts are cut",
            got=kind,
            remedy="take a version with a tokenizer.json, as transformers' save_pretrained writes",
        )


def _gpt2_document(vocab: Mapping[str, int], merges: str) -> dict[str, Any]:
    """GPT-2's own files as a tokenizer.json; its one control token is in the vocabulary."""
    lines = [line.split() for line in merges.splitlines()]
    return gpt2_document(
        vocab,
        # The first line of the file may be a comment with its version.
        [pair for pair in lines if len(pair) == 2 and pair[0] != "#version:"],
        special={end: vocab[end] for end in _ENDS[:1] if end in vocab},
    )


def _marks(
    document: Mapping[str, Any],
    pieces: Pieces,
    roles: Mapping[str, str],
    config: Mapping[str, Any],
    ids: Mapping[str, Any],
    folder: Path,
) -> Marks:
    special = {content: token.id for content, token in pieces.special.items()}
    # What the files name is a control token, whether it is marked as one or not.
    named = {content: token.id for content, token in pieces.unmarked.items()} | special
    told = ids.get("eos_token_id")
    ends = told if isinstance(told, list) else [told]
    ends = [end for end in ends if isinstance(end, int) and 0 <= end < len(pieces.token_bytes)]
    turn = named.get(roles.get("eos_token", ""), ends[0] if ends else None)
    text = next((special[name] for name in _ENDS if name in special), turn)
    if text is None:
        raise DataError(
            f"the tokenizer in {folder} does not say which token ends a text",
            remedy="add an eos_token to its tokenizer_config.json",
        )
    return Marks(
        start=_start(document, named, roles, config),
        end_of_text=text,
        end_of_turn=text if turn is None else turn,
        ends=tuple(sorted({*ends, text, text if turn is None else turn})),
    )


def _start(
    document: Mapping[str, Any],
    special: Mapping[str, int],
    roles: Mapping[str, str],
    config: Mapping[str, Any],
) -> tuple[int, ...]:
    """Ids that stand before a text: as the config says, else as the tokenizer itself does it."""
    bos = special.get(roles.get("bos_token", ""))
    told = config.get("add_bos_token")
    if isinstance(told, bool):
        return (bos,) if told and bos is not None else ()
    alone = {**document, "truncation": None, "padding": None}
    encoder = backend(json.dumps(alone), where="tokenizer.json")
    plain = encoder.encode("a", add_special_tokens=False).ids
    marked = encoder.encode("a", add_special_tokens=True).ids
    at = next((n for n in range(len(marked)) if marked[n : n + len(plain)] == plain), 0)
    return tuple(marked[:at])


def _roles(fields: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name in _ROLES:
        value = fields.get(name)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[name] = content
    return found


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return _text(path)
    template = config.get("chat_template") or _object(folder / "chat_template.json").get(
        "chat_template"
    )
    if isinstance(template, list):  # several, by name
        named = [entry for entry in template if isinstance(entry, dict)]
        defaults = (e.get("template") for e in named if e.get("name") == "default")
        template = next(defaults, None)
    if template is not None and not isinstance(template, str):
        raise DataError(f"{folder} has a chat_template that is no text", remedy="fetch it again")
    return template


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object", remedy="fetch it again")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", remedy="fetch it again") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
