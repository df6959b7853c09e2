"""From a request to the jobs that answer it."""

from __future__ import annotations

from homespun.core import SamplingSettings, Tokenizer
from homespun.inference.answer import Answer
from homespun.inference.blocks import Row
from homespun.inference.request import Request
from homespun.inference.sampling import ConstraintCompiler
from homespun.inference.search import (
    BeamJob,
    ContrastiveJob,
    PromptScores,
    SamplingJob,
    SearchJob,
)


class JobMaker:
    """Makes jobs for one tokenizer.

    Args:
        tokenizer: the one the model was trained with.
        end_ids: tokens that end an answer.
    """

    def __init__(self, tokenizer: Tokenizer, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._constraints = ConstraintCompiler(tokenizer, end_ids)

    def check(self, settings: SamplingSettings) -> None:
        """Raises RequestError where the constraint does not compile. It is kept where it does."""
        if settings.constraint is not None:
            self._constraints.compile(settings.constraint)

    def make(
        self, request_id: int, request: Request, *, window: int
    ) -> list[SamplingJob | SearchJob]:
        """The jobs of a checked request.

        Args:
            window: most tokens of prompt and answer.

        Raises:
            RequestError: its constraint does not compile.
        """
        settings, ids = request.settings, request.prompt_ids
        if settings.beams > 0:
            return [
                BeamJob(
                    request_id,
                    Row(ids, request.salt),
                    settings,
                    self._tokenizer,
                    window=window,
                    end_ids=self._end_ids,
                )
            ]
        if settings.contrastive_alpha > 0:
            # Nothing of it is shared: hidden states of the whole prompt are wanted.
            own = Row(ids, _own_salt(request_id))
            return [ContrastiveJob(request_id, own, self._answer(request, 0, window))]
        jobs: list[SamplingJob | SearchJob] = []
        salt, scores = request.salt, None
        if settings.prompt_logprobs:
            salt = _own_salt(request_id)
            scores = PromptScores(ids, settings.logprobs or 0)
        leader: SamplingJob | None = None
        for index in range(max(settings.best_of, settings.num_answers)):
            job = SamplingJob(
                request_id,
                index,
                Row(ids, salt),
                self._answer(request, index, window),
                leader=leader,
                scores=scores,
            )
            leader = leader or job
            jobs.append(job)
        return jobs

    def _answer(self, request: Request, index: int, window: int) -> Answer:
        settings = request.settings
        constraint = None
        if settings.constraint is not None:
            constraint = self._constraints.compile(settings.constraint)
        return Answer(
            self._tokenizer,
            settings,
            request.prompt_ids,
            window=window,
            end_ids=self._end_ids,
            seed=(settings.seed + index) % 2**63,
            constraint=constraint,
        )


def _own_salt(request_id: int) -> bytes:
    """Of what reads all of its prompt itself: rows of other requests share nothing with it."""
    return b"request" + request_id.to_bytes(8, "big")
