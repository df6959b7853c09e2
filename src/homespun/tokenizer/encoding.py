"""Encode and decode: the tokenizer that the rest of the project is handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homespun.core import ChatTokens, DataError, Message
from homespun.core.files import write_json, write_text
from homespun.tokenizer.chat import ChatTemplate, default_chat_template
from homespun.tokenizer.encoders import make_encoder, normalise
from homespun.tokenizer.layout import Kind, Written, parse_document
from homespun.tokenizer.special import (
    END_OF_TEXT,
    END_OF_TURN,
    SPECIAL_ROLES,
    SPECIAL_TOKENS,
)

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


class ByteLevelTokenizer(Written):
    """A tokenizer over UTF-8 bytes; every text has ids and comes back from them.

    Ids 0 to 255 are the bytes, then come the learned tokens, then the control tokens of `special`.
    Text is made NFC first; NFC text round-trips exactly.

    Args:
        document: the text of a `tokenizer.json`, kept as it is so that its hash stays true.
        chat_template: Jinja text, see `chat`; the default template where None.
        where: what to call the file in messages.

    Raises:
        DataError: `document` is damaged or not a tokenizer of ours.
        ConfigError: the chat template is not valid.
    """

    def __init__(
        self, document: str, *, chat_template: str | None = None, where: str = TOKENIZER_FILE
    ) -> None:
        super().__init__(document)
        vocabulary = parse_document(document, where=where)
        self._encoder = make_encoder(vocabulary)
        self._chat = ChatTemplate(
            default_chat_template() if chat_template is None else chat_template
        )
        self.kind: Kind = vocabulary.kind
        num_ordinary = len(vocabulary.tokens)
        self._token_bytes = [*vocabulary.tokens, *[b""] * len(SPECIAL_TOKENS)]
        self.special_ids: Mapping[str, int] = MappingProxyType(
            {token: num_ordinary + place for place, token in enumerate(SPECIAL_TOKENS)}
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids, control tokens included."""
        return len(self._token_bytes)

    @property
    def end_of_text_id(self) -> int:
        return self.special_ids[END_OF_TEXT]

    @property
    def end_of_turn_id(self) -> int:
        return self.special_ids[END_OF_TURN]

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What stands before a text."""
        return (self.end_of_text_id,)

    @property
    def chat_template(self) -> str:
        """The Jinja text of the chat template."""
        return self._chat.source

    @property
    def knows_reasoning(self) -> bool:
        """The chat template writes what an assistant thought."""
        return self._chat.knows_reasoning

    @property
    def thinks(self) -> bool:
        """Answers begin with thoughts between `<think>` and `</think>`, by the chat template."""
        return self._chat.thinks

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of `text`, [T]. Never a control id, whatever the text contains.

        Lone surrogates, which are no characters, count as U+FFFD.
        """
        return self._encoder.encode(normalise(text))

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Like `encode` for each text, on all cores."""
        return self._encoder.encode_batch([normalise(text) for text in texts])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD, control tokens are left out.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        values = ids.tolist() if isinstance(ids, np.ndarray) else ids
        if len(values) and not 0 <= min(values) <= max(values) < self.vocab_size:
            wrong = min(values) if min(values) < 0 else max(values)
            raise self._unknown_id(wrong)
        return b"".join([self._token_bytes[index] for index in values]).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token stands for; empty for control tokens.

        Raises:
            DataError: the id is not in the vocabulary.
        """
        if not 0 <= token_id < len(self._token_bytes):
            raise self._unknown_id(token_id)
        return self._token_bytes[token_id]

    @property
    def chat_options(self) -> frozenset[str]:
        """Names of its own that the chat template asks for; the default one has none."""
        return self._chat.options

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        options: Mapping[str, bool | str] | None = None,
    ) -> ChatTokens:
        """Ids of a conversation, and which of them the model is trained to say.

        With the default template these are the assistant's words and the end-of-turn token after
        each of its messages. Control strings inside a message are ordinary text.

        Args:
            messages: at least one, oldest first.
            add_generation_prompt: end with the opening of the assistant's next message.
            options: values of names among `chat_options`.

        Raises:
            RequestError: there are no messages, one has an unknown role, or the template does not
                ask for an option.
            ConfigError: the template failed on these messages.
        """
        ids: list[int] = []
        is_target: list[bool] = []
        for piece in self._chat.render(
            messages, add_generation_prompt=add_generation_prompt, options=options
        ):
            if piece.is_control:
                new = [self.special_ids[piece.text]]
            else:
                new = self.encode(piece.text).tolist()
            ids += new
            is_target += [piece.is_target] * len(new)
        return ChatTokens(tuple(ids), tuple(is_target))

    def save(self, folder: Path | str) -> None:
        """Write `tokenizer_config.json` and then `tokenizer.json`, each whole or not at all.

        `transformers.AutoTokenizer.from_pretrained(folder)` reads them.

        Raises:
            BudgetError: the disk is full. RunError: the folder cannot be written.
        """
        folder = Path(folder)
        write_json(folder / CONFIG_FILE, self._hugging_face_config())
        write_text(folder / TOKENIZER_FILE, self._document)

    def _hugging_face_config(self) -> dict[str, Any]:
        others = [token for token in SPECIAL_TOKENS if token not in SPECIAL_ROLES.values()]
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **SPECIAL_ROLES,
            "additional_special_tokens": others,
            "clean_up_tokenization_spaces": False,
            "chat_template": self.chat_template,
        }

    def _unknown_id(self, token_id: int) -> DataError:
        return DataError(
            f"token ids run from 0 to {self.vocab_size - 1}",
            got=token_id,
            remedy="use the tokenizer that made the ids",
        )
