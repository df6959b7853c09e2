"""Translators and summarisers behind the server: what `finetune translate|summarise` left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from homespun.core import ChatTokens, ConfigError, Message, RequestError, Tokenizer
from homespun.core.files import typed
from homespun.recipes.applications.record import ApplicationRecord, model_folder, read_record
from homespun.recipes.search.embedding import is_application
from homespun.recipes.serve.seat import EngineSeat

if TYPE_CHECKING:
    from homespun.recipes.applications.translate.reading import SourceReader
    from homespun.recipes.applications.translate.writer import PairWriter
    from homespun.recipes.serve.process import EngineWish
    from homespun.serving import EngineFacts, ServedModel

_TASKS, _METHODS = ("translate", "summarise"), ("transformer", "t5")


def rewrites(folder: Path) -> bool:
    """Whether a folder holds an encoder-decoder that writes one text from another."""
    if not is_application(folder):
        return False
    record = read_record(folder)
    return record.task in _TASKS and record.method in _METHODS


def serves_task(folder: Path) -> bool:
    """Whether `homespun finetune` left something in a folder that can be served. Raises ConfigError
    where it is what no address of the API asks for."""
    if not is_application(folder):
        return False
    record = read_record(folder)
    if record.task == "embed" or rewrites(folder):
        return True
    raise ConfigError(
        f"{folder} cannot be served: it has learned to {record.task} with the method "
        f"'{record.method}'",
        remedy=_instead(record, folder),
    )


def _instead(record: ApplicationRecord, folder: Path) -> str:
    if record.task in _TASKS:
        return f"learn with --method {' or --method '.join(_METHODS)}"
    if record.task == "classify":
        return f"make it the judge of /v1/moderations: --moderator {typed(folder)} --flag CLASS"
    return f"answer files with `homespun apply {record.task} {typed(folder)} FILE`"


class RewriterSeat(EngineSeat):
    """Such a model as the server wants it. It makes no vectors.

    Args:
        writer: what was learned.
        advice: see `EngineSeat`.
        max_rows: texts that are written together; None for the engine's own choice.
    """

    def __init__(
        self, writer: PairWriter, advice: str = "", *, max_rows: int | None = None
    ) -> None:
        super().__init__(writer.engine(max_rows=max_rows), writer.model, advice)
        self._num_beams = max(1, writer.habits.beams)

    @property
    def kv_capacity(self) -> int:
        """Requests count with a row a beam."""
        return self._num_beams * super().kv_capacity

    def embed(self, prompts: Sequence[Sequence[int]]) -> NoReturn:
        raise RequestError("this model writes one text from another, and makes no vectors")


def rewriter_seat(folder: Path, wish: EngineWish) -> RewriterSeat:
    """The seat of what was learned in `folder`. Raises as `open_application`."""
    from homespun.core.machine import num_threads
    from homespun.recipes.applications.applying import open_application
    from homespun.recipes.applications.translate.writer import PairWriter
    from homespun.recipes.run import chosen_device
    from homespun.training import set_threads

    set_threads(wish.num_threads or num_threads())
    writer = open_application(folder).learned
    assert isinstance(writer, PairWriter)  # by its method
    writer.model.to(chosen_device(wish.device))
    told = "an encoder-decoder is computed by torch in float32, whatever else is asked for"
    is_other = wish._replace(max_rows=None, num_threads=None, device="auto") != type(wish)()
    return RewriterSeat(writer, told if is_other else "", max_rows=wish.max_rows)


class SourceText:
    """A writer's tokenizer as `core.Tokenizer` of what it reads: ids of a text have its prefix
    before them, what its memory recalls behind, and the mark of its end. The blanks around a text
    are left out, as `apply` does.

    Args:
        tokenizer: of both sides.
        source: reads with it.
        end_id: ends a text.
    """

    start_ids: tuple[int, ...] = ()

    def __init__(self, tokenizer: Tokenizer, source: SourceReader, *, end_id: int) -> None:
        self._tokenizer, self._source = tokenizer, source
        self.vocab_size = tokenizer.vocab_size
        self.end_of_text_id = self.end_of_turn_id = end_id

    def encode(self, text: str) -> NDArray[np.uint32]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        rows = self._source.whole([text.strip() for text in texts])
        return [np.array(ids, np.uint32) for ids in rows]

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids)

    def token_bytes(self, token_id: int) -> bytes:
        return self._tokenizer.token_bytes(token_id)

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        """Ids of the last message: nothing else is read."""
        ids = tuple(self.encode(messages[-1].content).tolist())
        return ChatTokens(ids, (False,) * len(ids))


def served_rewriter(folder: Path, name: str, engine: EngineFacts) -> ServedModel:
    """Such a model under a name. Raises as `read_writer`, `open_tokenizer` and `read_along`.

    Args:
        engine: what is to be known of the seat that computes for it.
    """
    from homespun.recipes.applications.translate.reading import Habits, SourceReader, read_along
    from homespun.recipes.applications.translate.writer import read_writer
    from homespun.recipes.serve.models import control_names
    from homespun.serving import Rewriting, ServedModel
    from homespun.tokenizer import open_tokenizer

    place = model_folder(folder)
    tokenizer = open_tokenizer(place)
    record = read_writer(place)
    habits = Habits.of(record, tokenizer)
    context, recall = int(record["model"]["context"]), read_along(place, record)
    source = SourceReader(tokenizer, habits, context=context, recall=recall)
    source.whole([""])  # a memory is indexed now, not while the first client waits
    return ServedModel(
        name=name,
        engine=engine,
        tokenizer=SourceText(tokenizer, source, end_id=habits.end_id),
        can_chat=True,
        created=int(folder.stat().st_mtime),
        control_names=control_names(tokenizer),
        rewrites=Rewriting(habits.beams, habits.length_penalty),
    )
