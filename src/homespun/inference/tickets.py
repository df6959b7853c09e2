"""A request under way: its jobs, what of their news is handed out, and a stream of its text."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

from homespun.core import Completion, FinishReason, RequestError, SamplingSettings
from homespun.inference.request import Output
from homespun.inference.search import News, SamplingJob, SearchJob

AnyJob = SamplingJob | SearchJob


class Ticket:
    """The jobs of a request, and what of their news is handed out.

    With `best_of` more answers are made than are asked for, so nothing is handed out before all of
    them have ended.
    """

    def __init__(self, request_id: int, settings: SamplingSettings, jobs: Sequence[AnyJob]) -> None:
        self.request_id = request_id
        self.jobs = list(jobs)
        self._num_answers = settings.num_answers
        self._holds = settings.best_of > settings.num_answers
        self._complete: list[Completion] = []
        self._ended: set[int] = set()

    @property
    def has_ended(self) -> bool:
        """The ends of all jobs have been told of. Several may end in one step: only the news of the
        last of them is the last of the request."""
        return len(self._ended) == len(self.jobs)

    def end(self, job: AnyJob) -> None:
        """The news that follow are the last of `job`."""
        self._ended.add(id(job))

    def is_open(self, job: AnyJob) -> bool:
        """Whether the end of `job` is still to be told of."""
        return id(job) not in self._ended

    def outputs(self, news: Sequence[News]) -> list[Output]:
        """What is to be handed out, given what is new."""
        failed = next((item for item in news if item.error is not None), None)
        if failed is not None:
            # What came before it is handed out, where anything is before the end.
            before = [] if self._holds else news[: news.index(failed)]
            said = Output(self.request_id, failed.index, error=failed.error, is_last=True)
            return [*(self._output(item, is_last=False) for item in before), said]
        if self._holds:
            self._complete += [item.completion for item in news if item.completion is not None]
            news = self._ranked() if self.has_ended else []
        return [
            self._output(item, is_last=self.has_ended and at == len(news) - 1)
            for at, item in enumerate(news)
        ]

    def _output(self, item: News, *, is_last: bool) -> Output:
        return Output(
            self.request_id,
            item.index,
            item.text,
            item.token_ids,
            item.logprobs,
            item.completion,
            is_last=is_last,
            prompt_logprobs=item.prompt_logprobs,
        )

    def _ranked(self) -> list[News]:
        best = sorted(self._complete, key=lambda done: -(done.score or 0.0))
        return [
            News(
                index,
                done.text,
                done.token_ids,
                done.logprobs or (),
                done,
                prompt_logprobs=done.prompt_logprobs or (),
            )
            for index, done in enumerate(best[: self._num_answers])
        ]


class TextStream(Iterator[str]):
    """The pieces of an answer as they come. `close` cancels the rest.

    Nothing is computed, or kept in the engine, before the first piece is asked for.

    Args:
        start: makes the request and gives its outputs, one after another.
        cancel: ends it; what there is so far.
        num_prompt_tokens: of the request.

    Attributes:
        completion: the answer as a whole, once it has ended; with finish_reason "error" what there
            was of it.
    """

    def __init__(
        self,
        start: Callable[[], Iterator[Output]],
        cancel: Callable[[], Completion | None],
        num_prompt_tokens: int,
    ) -> None:
        self._cancel = cancel
        self._completion: Completion | None = None
        self._num_prompt_tokens = num_prompt_tokens
        self._pieces = self._run(start)

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """End the answer here; nothing more is computed."""
        self._pieces.close()
        if self._completion is None:  # it had not begun
            self._completion = Completion("", (), "cancelled", self._num_prompt_tokens, 0.0)

    @property
    def completion(self) -> Completion:
        if self._completion is None:
            raise RequestError(
                "the answer has not ended yet", remedy="read the stream to its end, or close it"
            )
        return self._completion

    def _run(self, start: Callable[[], Iterator[Output]]) -> Generator[str, None, None]:
        said: list[str] = []
        ids: list[int] = []

        def so_far(reason: FinishReason) -> Completion:
            return Completion("".join(said), tuple(ids), reason, self._num_prompt_tokens, 0.0)

        try:
            for output in start():
                if output.error is not None:
                    raise output.error
                if output.index != 0:
                    continue
                said.append(output.text)
                ids += output.token_ids
                if output.completion is not None:
                    self._completion = output.completion
                if output.text:
                    yield output.text
                if output.completion is not None:
                    return
        except Exception:
            self._completion = so_far("error")
            raise
        finally:
            cancelled = self._cancel()
            if self._completion is None:
                self._completion = cancelled or so_far("cancelled")
