"""Encoders behind the server: they make vectors of texts, and write nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from homespun.core import ChatTokens, Message, RequestError, SamplingSettings
from homespun.core.files import read_json
from homespun.recipes.applications.record import model_folder, read_record
from homespun.recipes.search.embedding import is_application
from homespun.recipes.serve.seat import checked

if TYPE_CHECKING:
    from homespun.inference import Output
    from homespun.recipes.applications.embed.encoder import LearnedEmbedder
    from homespun.serving import EngineFacts, ServedModel
    from homespun.serving.computing import Numbers
    from homespun.tokenizer.pieces import PieceTokenizer


class VectorSeat:
    """An encoder as the server wants it (`serving.ServedEngine`).

    Args:
        embedder: from `open_embedder`.
        notice: what is to be told of it when the server starts.
    """

    has_work = False
    most_embedded = 2048

    def __init__(self, embedder: LearnedEmbedder, notice: str = "") -> None:
        self._embedder = embedder
        self.notice = notice
        self.window = embedder.longest
        self.width = embedder.width
        # Tokens that may wait: texts of some hundred windows.
        self.kv_capacity = 128 * self.window

    @property
    def stats(self) -> Numbers:
        """There is no cache, and nothing waits in here."""
        from homespun.serving.computing import Numbers

        return Numbers()

    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> NoReturn:
        raise RequestError("this model makes vectors, and writes nothing")

    def submit(
        self, prompt_ids: Sequence[int], settings: SamplingSettings, *, salt: bytes
    ) -> NoReturn:
        self.check(prompt_ids, settings)

    def step(self) -> list[Output]:
        return []

    def admitted(self) -> list[int]:
        return []

    def cancel(self, request_id: int) -> bool:
        return False

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of each text the mean of the encoder's vectors, of length 1.

        Raises:
            RequestError: a text is longer than the encoder reads. CheckpointError: a vector is no
                finite numbers.
        """
        longest = max(map(len, prompts))
        if longest > self.window:
            raise RequestError(
                f"a text has {longest} tokens, and the encoder reads {self.window}",
                remedy="cut it into several",
            )
        return [checked(row) for row in self._embedder.vectors(prompts).tolist()]


class PieceText:
    """WordPiece as `core.Tokenizer`: ids of a text have the marks around them."""

    start_ids: tuple[int, ...] = ()

    def __init__(self, pieces: PieceTokenizer) -> None:
        self._pieces = pieces
        self._is_mark_V = pieces.mark_flags()
        self.vocab_size = pieces.vocab_size
        self.end_of_text_id = self.end_of_turn_id = pieces.end_id

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.array(self._pieces.encode(text).ids, dtype=np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [np.array(found.ids, np.uint32) for found in self._pieces.encode_batch(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        return self._pieces.decode([number for number in ids if not self._is_mark_V[number]])

    def token_bytes(self, token_id: int) -> bytes:
        if self._is_mark_V[token_id]:
            return b""
        return self._pieces.token_text(token_id).encode()

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        raise RequestError("this model makes vectors, and does not chat")


_ENCODERS = ("bert", "roberta", "homespun-encoder")
"""As `read_encoder` asks, which knows torch: the process that listens does not."""


def makes_vectors(folder: Path) -> bool:
    """Whether a folder holds an encoder, or what `finetune embed` wrote."""
    if is_application(folder):
        return read_record(folder).task == "embed"
    path = folder / "config.json"
    told = read_json(path) if path.is_file() and not (folder / "run.json").is_file() else None
    return isinstance(told, dict) and told.get("model_type") in _ENCODERS


def served_encoder(folder: Path, name: str, engine: EngineFacts) -> ServedModel:
    """An encoder under a name. Raises as `open_embedder`.

    Args:
        engine: what is to be known of the seat that computes for it.
    """
    from homespun.serving import ServedModel
    from homespun.tokenizer.pieces import PieceTokenizer

    pieces = PieceTokenizer.load(model_folder(folder) if is_application(folder) else folder)
    tokenizer = PieceText(pieces)
    return ServedModel(
        name=name,
        engine=engine,
        tokenizer=tokenizer,
        can_chat=False,
        can_write=False,
        created=int(folder.stat().st_mtime),
        control_names=_marks(pieces, tokenizer),
    )


def _marks(pieces: PieceTokenizer, tokenizer: PieceText) -> Mapping[int, str]:
    return {
        number: pieces.token(number)
        for number in range(pieces.vocab_size)
        if not tokenizer.token_bytes(number)
    }
