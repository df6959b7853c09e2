"""The engine: many requests at once over one decoder. See docs/design/engine.md.

R rows of scores, V vocabulary.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from homespun.core import CheckpointError, Completion, SamplingSettings, Tokenizer
from homespun.inference.blocks import BlockPool
from homespun.inference.burst import Bursts
from homespun.inference.choice import Kernels, RunnerChoice, check_sizes, open_runner, torch_threads
from homespun.inference.jobs import JobMaker
from homespun.inference.native.pack import WeightKind
from homespun.inference.pace import Pace
from homespun.inference.request import (
    Output,
    Request,
    check_prompt,
    check_rows,
    check_settings,
    plain_settings,
    rows_of,
)
from homespun.inference.runners import CachedDecoder, Work, look_back
from homespun.inference.runners.work import BLOCK_TOKENS, Outcome, Results
from homespun.inference.sampling import choose, log_probabilities
from homespun.inference.scheduler import Reading, Scheduler
from homespun.inference.search import News, SamplingJob
from homespun.inference.sound import finite_rows, not_finite
from homespun.inference.stats import EngineStats
from homespun.inference.tickets import AnyJob, TextStream, Ticket

DEFAULT_KV_TOKENS = 16_384
_SCORES_AT_ONCE = 1 << 22  # of a prompt that is scored: 16 MB, whatever the vocabulary


class Engine:
    """Continues token ids with a decoder (`core.Generator`), for any number of requests at once.

    An answer ends at a special token (end of text, end of turn, or any other: none of them occurs
    within a text), at a stop string, after `max_tokens`, or when the window is full; the window
    never slides. The same prompt, settings and seed give the same text: alone, in a batch, and
    whatever was asked before. One thread at a time may use an engine.

    Args:
        model: a decoder; it is put into evaluation mode and set to compute in `compute_dtype`.
        tokenizer: the one the model was trained with.
        window: most tokens of prompt and answer together; the model's context unless less.
        compute_dtype: of the model.
        device: where the model is. Tokens are chosen on the CPU, so a seed means the same anywhere.
        num_threads: threads that compute. None for as many as are fastest: the compiled step tries,
            and torch takes one for small models, else its own number. Where nothing is given
            neither takes more than OMP_NUM_THREADS says.
        kv_tokens: tokens the cache holds; None for as many as `max_rows` whole windows have, at
            most 16,384, and one window at least.
        max_rows: most rows computed together.
        kernels: "native", the compiled step: fp32 decoders on the processor; "torch", any model;
            "auto", the first where it can be had.
        weights: how the compiled step keeps matrices: float32, bfloat16, int8 or int4.
        prefill_chunk: most tokens of prompts read between two tokens of those that write; fewer
            where the compiled step takes long for them, see `pace`.

    Raises:
        ConfigError: a number is below 1, or as `open_runner`.
    """

    def __init__(  # noqa: PLR0913 - one switch a part
        self,
        model: CachedDecoder,
        tokenizer: Tokenizer,
        *,
        window: int | None = None,
        compute_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        num_threads: int | None = None,
        kv_tokens: int | None = None,
        max_rows: int = 64,
        prefill_chunk: int = 256,
        kernels: Kernels = "auto",
        weights: WeightKind = "float32",
    ) -> None:
        check_sizes(
            window=window,
            num_threads=num_threads,
            kv_tokens=kv_tokens,
            max_rows=max_rows,
            prefill_chunk=prefill_chunk,
        )
        self.model = model
        self.tokenizer = tokenizer
        self.window = model.context if window is None else min(window, model.context)
        self._end_ids = frozenset(
            token for token in range(tokenizer.vocab_size) if not tokenizer.token_bytes(token)
        ) | {tokenizer.end_of_text_id, tokenizer.end_of_turn_id}
        model.eval()
        model.set_compute_dtype(compute_dtype)
        if kv_tokens is None:
            kv_tokens = max(self.window, min(max_rows * self.window, DEFAULT_KV_TOKENS))
        num_blocks = -(-kv_tokens // BLOCK_TOKENS)
        self._runner = open_runner(
            model,
            num_blocks,
            RunnerChoice(
                kernels,
                weights,
                torch.device(device),
                compute_dtype,
                num_threads,
                tokenizer.vocab_size,
                tuple(self._end_ids),
            ),
        )
        self._num_threads = torch_threads(model, num_threads, self._runner)
        self._look_back = look_back(model)
        self._pool = BlockPool(num_blocks, self._runner.copy_block)
        self._scheduler: Scheduler[AnyJob] = Scheduler(
            self._pool,
            max_rows=max_rows,
            prefill_chunk=prefill_chunk,
            most_scored=max(BLOCK_TOKENS, _SCORES_AT_ONCE // tokenizer.vocab_size),
        )
        self._max_rows = max_rows
        self._maker = JobMaker(tokenizer, self._end_ids)
        self._tickets: dict[int, Ticket] = {}
        self._inboxes: dict[int, deque[Output]] = {}
        self._held: list[Output] = []
        self._next_id = 0
        self._pace = Pace(prefill_chunk)
        self._bursts = Bursts(self._runner, self._pool, self._pace)
        self._num_chosen = 0
        self._num_guessed = 0
        self._num_right = 0

    @property
    def kv_capacity(self) -> int:
        """Tokens the cache holds."""
        return self._pool.num_blocks * BLOCK_TOKENS

    @property
    def num_weight_bytes(self) -> int:
        """Bytes of weights that one token reads; 0 where torch computes."""
        return self._runner.num_weight_bytes

    @property
    def num_threads(self) -> int | None:
        """Threads that compute; None for torch's own choice."""
        return self._runner.num_threads or self._num_threads

    @property
    def notice(self) -> str:
        """A sentence for a person, where the engine is slower than it could be; else empty."""
        return self._runner.notice

    @property
    def has_work(self) -> bool:
        """Whether `step` has anything to do or to hand out."""
        return bool(self._tickets or self._held)

    @property
    def stats(self) -> EngineStats:
        return EngineStats(
            num_running=self._scheduler.num_rows,
            num_waiting=len(self._scheduler.waiting),
            num_blocks=self._pool.num_blocks,
            num_free_blocks=self._pool.num_free,
            num_prompt_tokens=self._scheduler.num_admitted_tokens,
            num_cached_tokens=self._scheduler.num_cached_tokens,
            num_tokens=self._num_chosen,
            num_preempted=self._scheduler.num_preempted,
            num_guessed=self._num_guessed,
            num_right=self._num_right,
        )

    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[int]:
        """The prompt as a list, where it can be answered.

        Raises:
            RequestError: it cannot; the message says why.
        """
        vocab_size = self.tokenizer.vocab_size
        check_settings(settings, vocab_size=vocab_size)
        check_rows(settings, self._max_rows)
        self._maker.check(settings)
        return check_prompt(prompt_ids, vocab_size=vocab_size, window=self._window_of(settings))

    def add_request(self, request: Request) -> int:
        """Take a request; its outputs come from `step`. Returns its number.

        Raises:
            RequestError: it cannot be served as asked. Nothing is kept of it then.
        """
        request = request._replace(settings=plain_settings(request.settings))
        ids = self.check(request.prompt_ids, request.settings)
        request_id = self._next_id
        window = self._window_of(request.settings)
        jobs = self._maker.make(request_id, request._replace(prompt_ids=ids), window=window)
        self._next_id += 1
        self._tickets[request_id] = Ticket(request_id, request.settings, jobs)
        for job in jobs:
            self._scheduler.add(job)
        return request_id

    def cancel(self, request_id: int) -> bool:
        """End a request here; its blocks are free at once. False if it had ended already."""
        return self._cancelled(request_id) is not None

    def step(self) -> list[Output]:
        """Read a chunk of the prompts that wait, and choose a token or several for every row that
        writes.

        Returns:
            What is new, of requests made by `add_request`.
        """
        self._advance()
        outputs, self._held = self._held, []
        return outputs

    def admitted(self) -> list[int]:
        """Requests that got a place in the last step."""
        return [job.request_id for job in self._scheduler.admitted]

    def generate(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> Completion:
        """Continue `prompt_ids`. Raises RequestError where that cannot be done as asked."""
        return self.complete(prompt_ids, settings)[0]

    def complete(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[Completion]:
        """All answers to a prompt, `settings.num_answers` of them; the best first where they are
        ranked. Beam search gives fewer where there are not as many."""
        return self._finish([self._open(Request(prompt_ids, settings))])[0]

    def generate_batch(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings
    ) -> list[Completion]:
        """Continue several prompts together; row i is sampled with seed `settings.seed + i`, after
        the highest one again from 0.

        So completion i is that of `generate` with that seed.
        """
        check_settings(settings)
        settings = plain_settings(settings)
        for prompt in prompts:  # all of them, before any is taken
            self.check(prompt, settings)
        numbers = [
            self._open(Request(prompt, replace(settings, seed=(settings.seed + i) % 2**63)))
            for i, prompt in enumerate(prompts)
        ]
        return [answers[0] for answers in self._finish(numbers)]

    def stream(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> TextStream:
        """Like `generate`, piece by piece.

        Raises RequestError at once, not with the first piece.
        """
        ids = self.check(prompt_ids, settings)
        opened: list[int] = []

        def start() -> Iterator[Output]:
            opened.append(self._open(Request(ids, settings)))
            return self._outputs(opened[0])

        def cancel() -> Completion | None:
            return self._cancelled(opened[0]) if opened else None

        return TextStream(start, cancel, len(ids))

    def _open(self, request: Request) -> int:
        """A request whose outputs go to an inbox, whoever calls `step`."""
        request_id = self.add_request(request)
        self._inboxes[request_id] = deque()
        return request_id

    def _outputs(self, request_id: int) -> Iterator[Output]:
        inbox = self._inboxes[request_id]
        while True:
            while not inbox:
                if request_id not in self._tickets:
                    return  # cancelled from elsewhere
                self._advance()
            output = inbox.popleft()
            if output.is_last:
                self._inboxes.pop(request_id, None)
            yield output
            if output.is_last:
                return

    def _finish(self, numbers: Sequence[int]) -> list[list[Completion]]:
        """The answers of requests that were opened. All are cancelled where one has an error."""
        found: list[list[Completion]] = []
        try:
            for request_id in numbers:
                answers = {}
                for output in self._outputs(request_id):
                    if output.error is not None:
                        raise output.error
                    if output.completion is not None:
                        answers[output.index] = output.completion
                found.append([answers[index] for index in sorted(answers)])
        finally:
            for request_id in numbers:
                self._cancelled(request_id)
        return found

    def _cancelled(self, request_id: int) -> Completion | None:
        """Cancel a request; what its first answer is so far, None if it had ended."""
        self._inboxes.pop(request_id, None)
        self._held = [output for output in self._held if output.request_id != request_id]
        return self._close(request_id)

    def _close(self, request_id: int) -> Completion | None:
        ticket = self._tickets.pop(request_id, None)
        if ticket is None:
            return None
        for job in ticket.jobs:
            if ticket.is_open(job):
                if job.is_private:  # nobody would begin with what it has read
                    for row in job.rows:
                        self._pool.disown(row)
                self._scheduler.remove(job)
        return next(iter([job.cancel() for job in ticket.jobs]))

    def _window_of(self, settings: SamplingSettings) -> int:
        """Most tokens a row may have: all rows of a job must fit the cache at once."""
        return min(self.window, self._pool.num_blocks // rows_of(settings) * BLOCK_TOKENS)

    def _advance(self) -> None:
        for job in self._scheduler.running:
            if isinstance(job, SamplingJob):
                job.draft()
        rest, writers = self._bursts.part(self._scheduler.plan())
        if rest:
            self._read(rest)
            self._go_on()
            writers = [job for job in writers if job.request_id in self._tickets]
        if writers:
            waits = bool(self._scheduler.waiting)
            self._burst(writers, self._bursts.length(writers, rest, somebody_waits=waits))

    def _burst(self, jobs: Sequence[SamplingJob], most: int) -> None:
        """Several tokens of every row in one call."""
        rows = [job.burst_row(self._look_back) for job in jobs]
        begun = time.perf_counter()
        chosen = self._runner.burst(rows, most)
        longest = max(len(written.tokens) for written in chosen)
        self._pace.wrote(longest, time.perf_counter() - begun)
        for job, (tokens, logprobs) in zip(jobs, chosen, strict=True):
            if job.request_id not in self._tickets:
                continue  # another answer to it has just failed, and its blocks are free
            sound = [token for token in tokens if token >= 0]
            news = []
            if sound:
                told, taken = job.push_all(sound, logprobs[: len(sound)], self._pool)
                news.append(told)
                self._num_chosen += taken
            if len(sound) < len(tokens) and not job.has_ended:
                news.append(News(job.index, error=not_finite()))
            self._publish(job, news)

    def _read(self, readings: Sequence[Reading[AnyJob]]) -> None:
        """Compute what is to be read; each row that is at its end has an outcome then."""
        works = []
        for job, row, num, reaches_end in readings:
            ids = row.ids[row.num_read : row.num_read + num] + row.draft
            num_scores = len(ids) if job.wants_every else reaches_end * (1 + len(row.draft))
            before = row.ids[max(0, row.num_read - self._look_back) : row.num_read]
            works.append(Work(ids, row.num_read, row.blocks, num_scores, before))
        begun = time.perf_counter()
        results = self._run(works, with_hidden=any(job.wants_hidden for job, *_ in readings))
        scores_RV = results.scores_RV[:, : self.tokenizer.vocab_size]
        at = 0
        for (job, row, num, reaches_end), work in zip(readings, works, strict=True):
            self._pool.advance(row, num)
            part = slice(at, at + work.num_scores)
            at += work.num_scores
            if work.num_scores:
                hidden_RD = results.hidden_RD
                outcome = Outcome(scores_RV[part], None if hidden_RD is None else hidden_RD[part])
                if job.wants_every:
                    job.note(row, outcome)
                if reaches_end:
                    row.outcome = outcome
        if self._runner.can_burst:
            # Only where a chunk's length changes no number: with torch an answer must not depend on
            # how busy the machine is.
            self._pace.read(sum(len(work.ids) for work in works), time.perf_counter() - begun)
            self._scheduler.prefill_chunk = self._pace.chunk
        for job, *_ in readings:
            if isinstance(job, SamplingJob) and not job.is_sound:
                self._publish(job, [News(job.index, error=not_finite())])

    def _run(self, works: Sequence[Work], *, with_hidden: bool) -> Results:
        """Threads are set for a step and not for good, since others use torch in between."""
        threads = torch.get_num_threads()
        change = self._num_threads is not None and self._num_threads != threads
        if change and self._num_threads is not None:
            torch.set_num_threads(self._num_threads)
        try:
            return self._runner.run(works, with_hidden=with_hidden)
        finally:
            if change:
                torch.set_num_threads(threads)

    def _go_on(self) -> None:
        """All jobs whose rows have outcomes choose what comes next."""
        ready = [
            job
            for job in self._scheduler.running
            if all(row.num_pending == 0 and row.outcome is not None for row in job.rows)
        ]
        plain = [job for job in ready if isinstance(job, SamplingJob) and not job.row.draft]
        news = dict(zip(map(id, plain), self._choose(plain), strict=True))
        for job in ready:
            if job.request_id not in self._tickets:
                continue  # another answer to it has just failed, and its blocks are free
            if id(job) in news:
                self._publish(job, [news[id(job)]])
            elif isinstance(job, SamplingJob):
                self._publish(job, self._try_draft(job))
            elif all(
                all(finite_rows(row.outcome.scores_NV[-1:])) for row in job.rows if row.outcome
            ):
                self._publish(job, job.advance(self._pool))
            else:
                self._publish(job, [News(0, error=not_finite())])

    def _choose(self, jobs: Sequence[SamplingJob]) -> list[News]:
        """One token for each job."""
        if not jobs:
            return []
        outcomes = [job.row.outcome for job in jobs]
        scores_RV = torch.cat([outcome.scores_NV[-1:] for outcome in outcomes if outcome])
        finite = finite_rows(scores_RV)
        if not all(finite):
            # Others in the batch are not to blame.
            sound = iter(self._choose([j for j, ok in zip(jobs, finite, strict=True) if ok]))
            return [
                next(sound) if ok else News(job.index, error=not_finite())
                for job, ok in zip(jobs, finite, strict=True)
            ]
        tokens = choose(scores_RV, [job.answer.ask() for job in jobs])
        self._num_chosen += len(tokens)
        return [
            self._push(job, token, logits_V)
            for job, token, logits_V in zip(jobs, tokens, scores_RV, strict=True)
        ]

    def _push(self, job: SamplingJob, token: int, logits_V: Tensor) -> News:
        job.row.outcome = None
        logprob = None
        if job.answer.wants_logprobs and token >= 0:
            logprob = log_probabilities(logits_V, token, job.answer.settings.logprobs or 0)
        return job.push(token, logprob)

    def _try_draft(self, job: SamplingJob) -> list[News]:
        """Choose on as long as what was guessed is what is chosen."""
        row, draft = job.row, job.row.draft
        assert row.outcome is not None
        scores_NV, row.draft = row.outcome.scores_NV, []
        news: list[News] = []
        for at, logits_V in enumerate(scores_NV):
            if not all(finite_rows(logits_V[None])):
                news.append(News(job.index, error=not_finite()))
                break
            (token,) = choose(logits_V[None], [job.answer.ask()])
            news.append(self._push(job, token, logits_V))
            if job.has_ended or at == len(draft) or token != draft[at]:
                break
            self._pool.advance(row, 1)
        self._num_chosen += len(news)
        self._num_guessed += len(draft)
        self._num_right += len(news) - 1
        job.meter.count(len(draft), len(news) - 1)
        return news

    def _publish(self, job: AnyJob, news: Sequence[News]) -> None:
        """Hand out what is new of a job, and let it go where it has ended."""
        ticket = self._tickets.get(job.request_id)
        if ticket is None:
            return  # another answer to it has failed
        is_bad = any(isinstance(item.error, CheckpointError) for item in news)
        if is_bad or (job.has_ended and job.is_private):  # nobody would begin with it
            for row in job.rows:
                self._pool.disown(row)
        if job.has_ended:
            ticket.end(job)
            self._scheduler.remove(job)
        outputs = ticket.outputs(news)
        if outputs and outputs[-1].is_last:
            self._close(job.request_id)
        self._inboxes.get(job.request_id, self._held).extend(outputs)
