"""Whoever computes: takes work, lets engines make steps, and tells what came of it.

A round: take what is new and what is dropped, let every engine that has work make a step, hand out
what came of it. Several models take turns, since an engine uses all cores it is meant to.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from homespun.core import HomespunError
from homespun.serving.computing.messages import Ask, Drop, Embed, Ended, News, Numbers, Said, Work
from homespun.serving.engine import EngineNumbers, EngineOutput, ServedEngine

_LONGEST_SLEEP = 0.5
_LONGEST_SILENCE = 0.25
"""Seconds after which the numbers of engines at work are told, where nothing else is."""


class _Embedding:
    """What is still to be done of an `Embed`."""

    def __init__(self, work: Embed) -> None:
        self.number = work.number
        self.model = work.model
        self.prompts = deque(work.prompts)

    def next(self, most: int) -> list[Sequence[int]]:
        """Texts of `most` tokens together, one at least."""
        taken = [self.prompts.popleft()]
        left = most - len(taken[0])
        while self.prompts and len(self.prompts[0]) <= left:
            taken.append(self.prompts.popleft())
            left -= len(taken[-1])
        return taken


class Rounds:
    """Runs engines, in the thread that calls `run`. `put` and `stop` may be called from any other.

    Args:
        engines: by the name of their model.
        tell: is given what came of a round, in the thread of `run`; False ends it: nobody listens.
    """

    def __init__(self, engines: Mapping[str, ServedEngine], tell: Callable[[News], bool]) -> None:
        self._engines = dict(engines)
        self._tell = tell
        self._inbox: deque[Work | Ended] = deque()
        self._wake = threading.Condition()
        self._must_stop = False
        self._compilers = ThreadPoolExecutor(1, "homespun-constraints")
        self._compiling: set[int] = set()
        # Of the thread of `run` alone: the event loop's numbers by the engine's, and the reverse.
        self._names: dict[tuple[str, int], int] = {}
        self._places: dict[int, tuple[str, int]] = {}
        # Of whole requests: ids of each answer that are not told yet; no entry before its first.
        self._held: dict[int, dict[int, list[int]]] = {}
        self._embeddings: deque[_Embedding] = deque()
        self._broken: set[str] = set()
        self._news = News()
        self._touched = set(engines)
        self._last_told = 0.0
        self._log = logging.getLogger("homespun.serving")

    def put(self, work: Work) -> None:
        """Take work. What must be compiled first is, beside the rounds: it may take seconds."""
        with self._wake:
            if isinstance(work, Ask) and work.settings.constraint is not None:
                self._compiling.add(work.number)
                self._compilers.submit(self._compile, work)
                return
            if isinstance(work, Drop):
                self._compiling.discard(work.number)
            self._inbox.append(work)
            self._wake.notify()

    def stop(self) -> None:
        """End `run` after the round it is in."""
        with self._wake:
            self._must_stop = True
            self._wake.notify()

    def run(self) -> None:
        try:
            self._flush()  # what the engines' numbers are
            while self._round():
                pass
            for number in list(self._places):
                self._let_go(number)
        except Exception:  # a bug of ours: nobody shall wait for rounds that are not made
            for model in self._engines:
                self._give_up(model)
            self._flush()
        finally:
            self._compilers.shutdown(wait=False, cancel_futures=True)

    def _compile(self, work: Ask) -> None:
        """What it compiles is kept by the engine."""
        with self._wake:
            if work.number not in self._compiling:
                return  # it was dropped before its turn
        found: Ask | Ended = work
        try:
            self._engines[work.model].check(work.prompt_ids, work.settings)
        except Exception as error:
            found = self._failed(work.number, error, "a constraint could not be compiled")
        with self._wake:
            if work.number in self._compiling:  # else it was dropped meanwhile
                self._compiling.discard(work.number)
                self._inbox.append(found)
                self._wake.notify()

    def _round(self) -> bool:
        """Whether to go on."""
        with self._wake:
            if not (self._must_stop or self._inbox or self._embeddings or self._has_work()):
                self._wake.wait(_LONGEST_SLEEP)
            if self._must_stop:
                return False
            inbox, self._inbox = self._inbox, deque()
        for work in inbox:
            self._take(work)
        if self._news and not self._flush():
            return False
        self._embed_next()
        for model, engine in self._engines.items():
            if model not in self._broken and engine.has_work:
                self._step(model, engine)
        is_late = self._touched and time.monotonic() - self._last_told > _LONGEST_SILENCE
        return self._flush() if self._news or is_late else True

    def _flush(self) -> bool:
        self._last_told = time.monotonic()
        news, self._news = self._news, News()
        touched, self._touched = self._touched, set()
        news.numbers = {
            model: _numbers(self._engines[model].stats)
            for model in touched
            if model not in self._broken
        }
        return self._tell(news)

    def _has_work(self) -> bool:
        return any(
            engine.has_work for model, engine in self._engines.items() if model not in self._broken
        )

    def _take(self, work: Work | Ended) -> None:
        if isinstance(work, Ended):
            self._news.ended.append(work)
        elif isinstance(work, Drop):
            self._drop(work.number)
        elif work.model in self._broken:
            self._news.ended.append(Ended(work.number, is_fault=True))
        elif isinstance(work, Embed):
            self._embeddings.append(_Embedding(work))
            self._news.begun.append(work.number)
        else:
            self._begin(work)

    def _begin(self, work: Ask) -> None:
        try:
            place = self._engines[work.model].submit(work.prompt_ids, work.settings, salt=work.salt)
        except Exception as error:
            told = "a request could not be begun"
            self._news.ended.append(self._failed(work.number, error, told))
        else:
            self._names[work.model, place] = work.number
            self._places[work.number] = work.model, place
            if work.is_whole:
                self._held[work.number] = {}
            self._news.begun.append(work.number)
            self._touched.add(work.model)

    def _failed(self, number: int, error: Exception, told: str) -> Ended:
        """What `error`, which is handled, means for a request. A bug of ours is told in the log."""
        if isinstance(error, HomespunError):
            return Ended(number, error)
        self._log.error(told, exc_info=error)
        return Ended(number, is_fault=True)

    def _drop(self, number: int) -> None:
        self._embeddings = deque(one for one in self._embeddings if one.number != number)
        self._let_go(number)
        self._news.ended.append(Ended(number, is_dropped=True))

    def _let_go(self, number: int) -> None:
        if (key := self._places.pop(number, None)) is None:
            return  # it had ended
        del self._names[key]
        self._held.pop(number, None)
        model, place = key
        try:
            self._engines[model].cancel(place)
            self._touched.add(model)
        except Exception:
            self._give_up(model)

    def _give_up(self, model: str) -> None:
        """Called while an exception is handled: the engine is in no state to go on."""
        self._log.exception("the engine of '%s' failed; it takes no more requests", model)
        for key in [key for key in self._names if key[0] == model]:
            number = self._names.pop(key)
            del self._places[number]
            self._held.pop(number, None)
        self._broken.add(model)
        self._news.broken.append(model)

    def _embed_next(self) -> None:
        """Texts of one request: a single one where others would be kept waiting."""
        if not self._embeddings:
            return
        work = self._embeddings.popleft()
        if work.model in self._broken:
            return
        try:
            engine = self._engines[work.model]
            vectors = engine.embed(work.next(0 if self._has_work() else engine.most_embedded))
        except Exception as error:
            self._news.ended.append(self._failed(work.number, error, "an embedding failed"))
        else:
            self._news.vectors.extend((work.number, [*vector]) for vector in vectors)
            if work.prompts:
                self._embeddings.append(work)
            else:
                self._news.ended.append(Ended(work.number))

    def _step(self, model: str, engine: ServedEngine) -> None:
        begun = time.monotonic()
        try:
            outputs = engine.step()
            admitted = engine.admitted()
        except Exception:
            self._give_up(model)
            return
        self._touched.add(model)
        for place in admitted:
            if (number := self._names.get((model, place))) is not None:
                self._news.admitted.append((number, begun))
        found: dict[int, list[EngineOutput]] = {}
        for output in outputs:
            found.setdefault(output.request_id, []).append(output)
        for place, new in found.items():
            if (number := self._names.get((model, place))) is None:
                continue
            if told := self._told(number, new):
                self._news.said.append((number, told))
            if new[-1].is_last:
                del self._names[model, place], self._places[number]
                self._held.pop(number, None)

    def _told(self, number: int, outputs: Sequence[EngineOutput]) -> list[Said]:
        """What is said of a request. Pieces of a whole one would only be thrown away, and each
        takes as long to be written and read as many tokens of it together."""
        held = self._held.get(number)
        if held is None:
            return _said(outputs)
        found: list[Said] = []
        for output in outputs:
            index, ids = output.index, held.get(output.index)
            if ids is None or output.completion is not None or output.is_last:
                new = (*(ids or ()), *output.token_ids)
                end = (output.completion, output.error, output.is_last)
                found.append(Said(index, "", new, (), *end))
                held[index] = []
            else:
                ids += output.token_ids
        return found


def _said(outputs: Sequence[EngineOutput]) -> list[Said]:
    return [
        Said(
            output.index,
            output.text,
            output.token_ids,
            output.logprobs,
            output.completion,
            output.error,
            output.is_last,
            output.prompt_logprobs,
        )
        for output in outputs
    ]


def _numbers(stats: EngineNumbers) -> Numbers:
    return Numbers(*(getattr(stats, name) for name in Numbers._fields))
