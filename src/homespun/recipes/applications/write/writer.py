"""A decoder that writes texts of a user's kind: what it keeps, how it writes and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import (
    ChatTokens,
    CheckpointError,
    Completion,
    Config,
    Constraint,
    DataError,
    RequestError,
    SamplingSettings,
    derive_seed,
    parse_config,
)
from homespun.core.files import atomic_path, read_json, write_json
from homespun.recipes.applications.neural import in_batches, load_model
from homespun.recipes.applications.neural.choosing import spaced
from homespun.recipes.applications.write.forms import Form, beginning
from homespun.recipes.applications.write.task import Piece, Written
from homespun.recipes.writing import poem_regex

if TYPE_CHECKING:
    from homespun.core import Tokenizer
    from homespun.inference import Engine
    from homespun.models import Decoder

WRITER_FILE, TABLE_FILE = "writer.json", "table.safetensors"
MOST_WRITTEN = 256
"""Held-out texts that are written from their beginnings: enough for an interval of 6%."""
_POEM_COPY = 20
"""Width of a passage of a poem that counts as copied: two short lines."""
_AT_ONCE = 64


class Habits(Config):
    """How it writes.

    Attributes:
        kind, lines: see `Form`.
        between: stands between a prompt and its text; "" goes on with the prompt.
        max_tokens: of what is written.
        temperature: of the draw.
        tries: at most, until a form is kept.
        seed: of every draw.
    """

    kind: str
    lines: str = ""
    between: str = ""
    max_tokens: int
    temperature: float
    tries: int
    seed: int = 0

    @property
    def form(self) -> Form:
        return Form(self.kind, self.lines)


class Writer:
    """Writes and scores.

    Args:
        model: reads and writes.
        tokenizer: the one it was taught with.
        habits: of writing.
        known: texts that it learned from, by which copies are found; none where they are not at
            hand.
    """

    def __init__(
        self, model: Decoder, tokenizer: Tokenizer, habits: Habits, known: Sequence[str] = ()
    ) -> None:
        self.model = model
        self.habits = habits
        self._tokenizer = tokenizer
        self._known = known
        self._start = list(tokenizer.start_ids or (tokenizer.end_of_text_id,))

    def chats(self, pieces: Sequence[Piece]) -> list[ChatTokens]:
        """What is learned: the text and its end, given the prompt."""
        prompts = self._prompt_ids(pieces)
        texts = self._tokenizer.encode_batch([piece.text or "" for piece in pieces])
        found = []
        for prompt, text in zip(prompts, texts, strict=True):
            own = [*map(int, text), self._tokenizer.end_of_text_id]
            is_target = [False] * len(prompt) + [True] * len(own)
            found.append(ChatTokens((*prompt, *own), tuple(is_target)))
        return found

    def answer(self, examples: Sequence[Piece]) -> list[Written]:
        """A text for each; where a person's is known that is scored, and `MOST_WRITTEN` are
        written, evenly spaced."""
        form = self.habits.form
        scored = [number for number, piece in enumerate(examples) if piece.text is not None]
        nats = dict(zip(scored, self.nats([examples[n] for n in scored]), strict=True))
        open_ones = [number for number in range(len(examples)) if number not in nats]
        asked = sorted([*open_ones, *spaced(scored, MOST_WRITTEN)])
        found = [Written(None, form.wanted, nats=nats.get(n)) for n in range(len(examples))]
        written = self._write([examples[number] for number in asked])
        copied = self._copied([one.own for one in written])
        for number, one, num in zip(asked, written, copied, strict=True):
            found[number] = one._replace(nats=nats.get(number), copied=num)
        return found

    def nats(self, pieces: Sequence[Piece]) -> list[float]:
        """Of each text and its end, given the prompt, in float32. Long ones are read in windows."""
        import torch

        from homespun.models import device_of
        from homespun.training.data.packing import cut_conversation

        device = device_of(self.model)
        parts, owners = [], []
        for number, chat in enumerate(self.chats(pieces)):
            for part in cut_conversation(chat, self.model.context):
                parts.append(part)
                owners.append(number)
        found = [0.0] * len(pieces)
        with torch.inference_mode():
            for numbers in in_batches(parts, lambda part: len(part.ids)):
                rows = [torch.from_numpy(parts[n].ids) for n in numbers]
                ids_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
                hidden_BTD = self.model(ids_BT)
                for row, number in enumerate(numbers):
                    targets_T = torch.from_numpy(parts[number].targets).to(device)
                    hidden_TD = hidden_BTD[row : row + 1, : len(targets_T)].float()
                    loss = self.model.next_token_loss(hidden_TD, targets_T[None])
                    found[owners[number]] += float(loss)
        return found

    @property
    def most(self) -> str:
        return f"{self._room} tokens of a prompt"

    def are_cut(self, examples: Sequence[Piece]) -> list[bool]:
        """Of long prompts the end is read; texts are learned whole, in windows."""
        return [len(ids) > self._room for ids in self._prompt_ids(examples)]

    @property
    def _room(self) -> int:
        context = self.model.context
        return context - min(self.habits.max_tokens, context // 2)

    def _prompt_ids(self, pieces: Sequence[Piece]) -> list[list[int]]:
        prompts = [piece.prompt + self.habits.between for piece in pieces]
        return [[*self._start, *map(int, ids)] for ids in self._tokenizer.encode_batch(prompts)]

    def _write(self, pieces: Sequence[Piece]) -> list[Written]:
        """Again where the form is not kept; the last try of a poem is held to it."""
        habits, form = self.habits, self.habits.form
        begun = [self._begun(piece) for piece in pieces]
        prompts = [self._cut(ids) for ids in self._prompt_ids([Piece(b) for b, _ in begun])]
        found = [Written(None, form.wanted)] * len(pieces)
        left = list(range(len(pieces)))
        for number in range(1, habits.tries + 1):
            is_last = number == habits.tries > 1
            asked = [
                (
                    prompts[n],
                    self._settings(
                        pieces[n], begun[n][1], number, held=found[n].text if is_last else None
                    ),
                )
                for n in left
            ]
            for place, told in zip(left, self._completions(asked), strict=True):
                if told is None:  # its beginning does not fit the form: what was written stays
                    continue
                found[place] = self._told(found[place], told, begun[place][1], number)
            left = [n for n in left if not found[n].holds]
        return [self._mended(one, before) for one, (_, before) in zip(found, begun, strict=True)]

    def _begun(self, piece: Piece) -> tuple[str, str]:
        """What is asked, and what of it is the beginning of what is written."""
        prompt = piece.prompt
        if not prompt and piece.text is not None and not self.habits.between:
            prompt = beginning(piece.text)
        return prompt, "" if self.habits.between else prompt

    def _told(self, before: Written, told: Completion, begun: str, number: int) -> Written:
        text = begun + told.text
        holds = self.habits.form.is_kept(text, has_ended=told.finish_reason == "stop")
        first = holds if number == 1 else before.first_holds
        return before._replace(
            text=text, own=told.text, holds=holds, first_holds=first, tries=number
        )

    def _mended(self, written: Written, begun: str) -> Written:
        """Code that does not parse, cut to what of it does."""
        if written.holds:
            return written
        text = self.habits.form.mended(written.text or "", begun)
        return written if text is None else written._replace(text=text, holds=True)

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) <= self._room:
            return ids
        return [*self._start, *ids[len(ids) - self._room + len(self._start) :]]

    def _settings(
        self, piece: Piece, begun: str, number: int, *, held: str | None
    ) -> SamplingSettings | None:
        """None where the form cannot be held to.

        Args:
            held: what was tried before, where a poem is to be held to its form now.
        """
        habits = self.habits
        constraint = None
        if held is not None and habits.kind == "poem":
            try:
                regex = poem_regex(habits.form.regex_form(held), begun)
            except RequestError:
                return None
            constraint = Constraint(kind="regex", text=regex)
        which = (piece.prompt, piece.text or "", str(piece.row))
        return SamplingSettings(
            max_tokens=habits.max_tokens,
            temperature=habits.temperature,
            seed=derive_seed(habits.seed, "write", *which, str(number)) % 2**63,
            constraint=constraint,
        )

    def _completions(
        self, asked: Sequence[tuple[list[int], SamplingSettings | None]]
    ) -> Iterator[Completion | None]:
        """In order; None where there are no settings, or the model cannot take the request."""
        from homespun.inference import Request

        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            found: dict[int, Completion | None] = {}
            places: dict[int, int] = {}
            for place, (ids, settings) in enumerate(some):
                if settings is not None:
                    places[self._engine.add_request(Request(ids, settings))] = place
            while places:
                for output in self._engine.step():
                    if output.is_last:
                        found[places.pop(output.request_id)] = output.completion
            yield from (found.get(place) for place in range(len(some)))

    def _copied(self, texts: Sequence[str]) -> list[int | None]:
        from homespun.evaluation import CopyFinder

        if not self._known or not texts:
            return [None] * len(texts)
        wide = {"min_copy": _POEM_COPY} if self.habits.kind == "poem" else {}
        finder = CopyFinder(texts, **wide)
        finder.feed(self._known)
        return list(finder.copied_characters())

    @cached_property
    def _engine(self) -> Engine:
        """Made of the weights as they are when the first text is written."""
        from homespun.inference import Engine

        return Engine(self.model.eval(), self._tokenizer)


def save_writer(folder: Path, shape: Mapping[str, Any], habits: Habits, model: Decoder) -> None:
    """Write what `load_writer` reads, but for the tokenizer and the weights."""
    if model.prior is not None:
        from safetensors.torch import save_file

        with atomic_path(folder / TABLE_FILE) as temporary:
            save_file(model.prior.whole().tensors(), temporary)
    record = {"model": dict(shape), "habits": habits.model_dump(mode="json")}
    write_json(folder / WRITER_FILE, record)


def load_writer(folder: Path) -> Writer:
    """What was learned in `folder`. Raises DataError, ConfigError or CheckpointError where it is
    damaged."""
    from homespun.models import DecoderConfig
    from homespun.tokenizer import open_tokenizer

    path = folder / WRITER_FILE
    record = read_json(path)
    if not isinstance(record, dict) or not {"model", "habits"} <= record.keys():
        raise DataError(f"{path} is damaged", remedy="learn the task again")
    config = parse_config(DecoderConfig, record["model"], where=str(path))
    model = config.empty()
    load_model(model, folder)
    if config.ngram_prior:
        model.attach_prior(_table(folder / TABLE_FILE))
    habits = parse_config(Habits, record["habits"], where=str(path))
    return Writer(model, open_tokenizer(folder), habits)


def _table(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from homespun.models import NgramPrior

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}", remedy="learn the task again"
        ) from error
    return NgramPrior.from_tensors(tensors, where=str(path))
