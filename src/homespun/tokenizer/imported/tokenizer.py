"""A tokenizer from elsewhere, as the rest of the project is handed one."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend

from homespun.core import ChatTokens, DataError, Message, RequestError
from homespun.core.files import write_json, write_text
from homespun.tokenizer.chat import ChatPiece, ChatTemplate
from homespun.tokenizer.encoders import whole
from homespun.tokenizer.imported.pieces import read_pieces
from homespun.tokenizer.imported.unmarked import unmarked_controls
from homespun.tokenizer.layout import Written

_HIDDEN = "\ufdd0"  # no character (Unicode, section 23.7), and taken out of texts


class Marks(NamedTuple):
    """Ids of the tokens that begin and end things.

    Attributes:
        start: before a text, often one, often none.
        end_of_text: after a text.
        end_of_turn: after a chat message.
        ends: all that end what the model says.
    """

    start: tuple[int, ...]
    end_of_text: int
    end_of_turn: int
    ends: tuple[int, ...]


class ImportedTokenizer(Written):
    """A tokenizer of another model, run by the `tokenizers` library (`core.Tokenizer`).

    Ids are those of `transformers`, but for one thing: strings of control tokens inside a text or
    a chat message are ordinary text here, and only the template makes control ids; of those too
    that the file does not mark as control tokens, and the template writes.

    Args:
        document: the text of a `tokenizer.json`.
        marks: which tokens begin and end things.
        roles: strings of control tokens by the names that chat templates know them by.
        chat_template: Jinja text; None where the model was not taught to chat.
        where: what to call the file in messages.

    Raises:
        DataError: `document` is damaged or of a kind that is not known, or has no token of the
            number of a mark.
        ConfigError: the chat template is not valid.
    """

    def __init__(
        self,
        document: str,
        *,
        marks: Marks,
        roles: Mapping[str, str],
        chat_template: str | None = None,
        where: str = "tokenizer.json",
    ) -> None:
        super().__init__(document)
        self._marks = marks
        self._roles = dict(roles)
        try:
            value = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not valid JSON", remedy="import it again") from error
        pieces = read_pieces(value, where=where)
        self._token_bytes = pieces.token_bytes
        marked = {*marks.start, marks.end_of_text, marks.end_of_turn, *marks.ends}
        if strange := marked - set(range(len(pieces.token_bytes))):
            raise DataError(
                f"a token that should begin or end texts is not in {where}, whose ids run from 0 "
                f"to {len(pieces.token_bytes) - 1}",
                got=min(strange),
                remedy="import the model again",
            )
        for end in marks.ends:
            self._token_bytes[end] = b""  # one that is not marked as a control token, but ends
        plain_chat = None
        if chat_template is not None and pieces.unmarked:
            plain_chat = _template(chat_template, (), roles)
        unmarked = unmarked_controls(pieces.unmarked, plain_chat, marked)
        self._special = pieces.special | unmarked
        plain = without_control(value, {s: token.id for s, token in self._special.items()})
        self._first = backend(json.dumps(plain), where=where)
        # Some put a space before a text, but not before what follows a control token.
        later = _without_prefix(plain)
        self._later = self._first if later == plain else backend(json.dumps(later), where=where)
        self._drops_space = not pieces.is_byte_level and self._first.encode(
            "a", add_special_tokens=False
        ).tokens[:1] != ["a"]
        self._chat = None
        if chat_template is not None:
            self._chat = _template(chat_template, tuple(self._special), roles)

    @property
    def vocab_size(self) -> int:
        return len(self._token_bytes)

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What stands before a text; nothing where the model knows no such mark."""
        return self._marks.start

    @property
    def end_of_text_id(self) -> int:
        return self._marks.end_of_text

    @property
    def end_of_turn_id(self) -> int:
        return self._marks.end_of_turn

    @property
    def chat_template(self) -> str | None:
        """The Jinja text of the chat template; None where there is none."""
        return None if self._chat is None else self._chat.source

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of `text`, [T], without the mark before a text."""
        ids = self._first.encode(_whole(text), add_special_tokens=False).ids
        return np.array(ids, dtype=np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Like `encode` for each text, on all cores."""
        rows = self._first.encode_batch([_whole(t) for t in texts], add_special_tokens=False)
        return [np.array(row.ids, dtype=np.uint32) for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD, control tokens are left out, and
        so is the space that a tokenizer puts before every text.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        text = b"".join([self.token_bytes(int(index)) for index in ids]).decode("utf-8", "replace")
        return text.removeprefix(" ") if self._drops_space else text

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token stands for; empty for control tokens.

        Raises:
            DataError: the id is not in the vocabulary.
        """
        if not 0 <= token_id < len(self._token_bytes):
            raise DataError(
                f"token ids run from 0 to {self.vocab_size - 1}",
                got=token_id,
                remedy="use the tokenizer that made the ids",
            )
        return self._token_bytes[token_id]

    @property
    def knows_tools(self) -> bool:
        """The chat template writes what tools there are by itself."""
        return self._chat is not None and self._chat.knows_tools

    @property
    def knows_reasoning(self) -> bool:
        """The chat template writes what an assistant thought."""
        return self._chat is not None and self._chat.knows_reasoning

    @property
    def thinks(self) -> bool:
        """Answers begin with thoughts between `<think>` and `</think>`, by the chat template."""
        return self._chat is not None and self._chat.thinks

    @property
    def chat_options(self) -> frozenset[str]:
        """Names of its own that the chat template asks for, such as `enable_thinking`."""
        return frozenset() if self._chat is None else self._chat.options

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] = (),
        options: Mapping[str, bool | str] | None = None,
    ) -> ChatTokens:
        """Ids of a conversation, and which of them the template marks for training, often none.
        `tools` are in OpenAI's shape, for a template that `knows_tools`; `options` give values to
        names among `chat_options`.

        Raises:
            RequestError: the model has no chat template, there are no messages, one has an
                unknown role, or the template does not ask for an option.
            ConfigError: the template failed on these messages.
        """
        if self._chat is None:
            raise RequestError(
                "the model has no chat template", remedy="let it continue a text instead"
            )
        ids: list[int] = []
        is_target: list[bool] = []
        pieces = self._chat.render(
            messages, add_generation_prompt=add_generation_prompt, tools=tools, options=options
        )
        for number, piece in enumerate(pieces):
            if piece.is_control:
                new = [self._special[piece.text].id]
            else:
                encoder = self._later if number else self._first
                text = self._beside(pieces, number)
                new = encoder.encode(text, add_special_tokens=False).ids
            ids += new
            is_target += [piece.is_target] * len(new)
        return ChatTokens(tuple(ids), tuple(is_target))

    def save(self, folder: Path) -> None:
        """Write `tokenizer_config.json` and then `tokenizer.json`, each whole or not at all.

        `transformers.AutoTokenizer.from_pretrained(folder)` reads them too.

        Raises:
            BudgetError: the disk is full. RunError: the folder cannot be written.
        """
        chat = {} if self._chat is None else {"chat_template": self._chat.source}
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                **self._roles,
                "clean_up_tokenization_spaces": False,
                **chat,
                "homespun": {"imported": True, **self._marks._asdict()},
            },
        )
        write_text(folder / "tokenizer.json", self._document)

    def _beside(self, pieces: Sequence[ChatPiece], number: int) -> str:
        """A text without the space that control tokens beside it swallow."""
        text = _whole(pieces[number].text)
        if number and (left := self._special.get(pieces[number - 1].text)) and left.rstrip:
            text = text.lstrip() if pieces[number - 1].is_control else text
        if number + 1 < len(pieces):
            right = self._special.get(pieces[number + 1].text)
            if right and right.lstrip and pieces[number + 1].is_control:
                text = text.rstrip()
        return text


def _template(source: str, controls: Sequence[str], roles: Mapping[str, str]) -> ChatTemplate:
    return ChatTemplate(
        source,
        controls=controls,
        roles=roles,
        parted=None,
        must_mark=False,
        now=lambda: datetime.now().astimezone(),
    )


def backend(document: str, *, where: str) -> Backend:
    """Raises DataError where the library does not take the document."""
    try:
        return Backend.from_str(document)
    except Exception as error:  # the library raises plain Exception
        raise DataError(
            f"{where} is not a tokenizer that can be used: {error}", remedy="fetch it again"
        ) from error


def without_control(document: Mapping[str, Any], special: Mapping[str, int]) -> dict[str, Any]:
    """A tokenizer.json that makes no control ids, whatever the text. Control tokens stay where they
    are, since ids of others are counted behind them, under names that no text has."""
    plain = copy.deepcopy(dict(document))
    plain["post_processor"] = plain["truncation"] = plain["padding"] = None

    def name(text: str, index: int) -> str:
        # A piece of text may be written as a control token is, and be another one.
        return _HIDDEN + text if special.get(text) == index else text

    for token in plain.get("added_tokens") or []:
        token["content"] = name(token["content"], token["id"])
    model = plain["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [
            [name(text, index), score] for index, (text, score) in enumerate(model["vocab"])
        ]
    else:
        vocab = model["vocab"]
        if (unknown := model.get("unk_token")) is not None:
            model["unk_token"] = name(unknown, vocab.get(unknown, -1))
        model["vocab"] = {name(text, index): index for text, index in vocab.items()}
    return plain


def _without_prefix(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same, but without the space that only the beginning of a whole text gets."""
    changed = copy.deepcopy(dict(document))

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("type") == "Metaspace" and value.get("prepend_scheme") == "first":
                value["prepend_scheme"] = "never"
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list):
            for inner in value:
                visit(inner)

    visit(changed.get("pre_tokenizer"))
    return changed


def _whole(text: str) -> str:
    """With lone surrogates, which are no characters, and the mark of hidden pieces as U+FFFD."""
    return whole(text.replace(_HIDDEN, "\ufffd"))
