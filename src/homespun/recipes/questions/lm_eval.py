"""lm-eval's door to a run: `simple_evaluate(model=lm_eval_model(run), tasks=[…])`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import DataError, RunError, SamplingSettings

if TYPE_CHECKING:
    from homespun.recipes.run import Run

LONGEST_ANSWER = 256
"""Tokens, where a task does not say."""


class Requests:
    """What lm-eval asks of a model (its `LM`: loglikelihood, loglikelihood_rolling and
    generate_until), answered by a run. Each request has its `args`.

    Args:
        run: to be asked.
    """

    def __init__(self, run: Run) -> None:
        from homespun.evaluation.bits_per_byte import DecoderLanguageModel

        self._run = run
        self._scored = DecoderLanguageModel(run.path.name, run.model, run.tokenizer)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Of each (context, continuation): its log-probability, and whether greedy decoding of the
        context would write just that. Where the context is "" a document begins with it; nowhere
        does the end of one count."""
        pairs = [(str(context), str(said)) for context, said in (one.args for one in requests)]
        given = [at for at, (context, said) in enumerate(pairs) if context and said]
        nats = self._scored.score_openings(["" if context else said for context, said in pairs])
        nats[given] = self._scored.score_continuations(
            [pairs[at][0] for at in given], [pairs[at][1] for at in given]
        )
        greedy = self._are_greedy(pairs)
        return [(-float(value), same) for value, same in zip(nats, greedy, strict=True)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Of each (text,): its log-probability at the beginning of a document, without that of its
        end, for which lm-eval counts no token."""
        nats = self._scored.score_openings([str(request.args[0]) for request in requests])
        return [-float(value) for value in nats]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Of each (context, settings): what is written until one of `until`, greedily unless
        `do_sample`. Requests of equal settings are written together.

        Where the window does not hold a context and all that may be written, no more than half of
        it is written: else an answer's usual length would leave nothing of what is asked."""
        asked: dict[SamplingSettings, list[int]] = {}
        prompts = [self._run.prompt_ids(str(request.args[0])) for request in requests]
        window = self._run.engine.window
        for at, request in enumerate(requests):
            settings = _sampling(request.args[1])
            if len(prompts[at]) + settings.max_tokens > window:
                settings = replace(settings, max_tokens=min(settings.max_tokens, window // 2))
            asked.setdefault(settings, []).append(at)
        found = [""] * len(requests)
        for settings, places in asked.items():
            written = self._written([prompts[at] for at in places], settings)
            for at, text in zip(places, written, strict=True):
                found[at] = text
        return found

    def _written(self, prompts: Sequence[list[int]], settings: SamplingSettings) -> list[str]:
        """What is written behind the end of each prompt: so much of it as the window has room for
        beside what may be written."""
        engine = self._run.engine
        room = engine.window - settings.max_tokens
        answers = engine.generate_batch([ids[-room:] for ids in prompts], settings)
        return [answer.text for answer in answers]

    def _are_greedy(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Of each (context, continuation) whether greedy decoding writes it, those of equally many
        tokens together."""
        rows = self._run.tokenizer.encode_batch([said for _, said in pairs])
        lengths = [min(len(ids), self._run.engine.window - 1) for ids in rows]
        found = [False] * len(pairs)
        for length in sorted(set(lengths) - {0}):
            some = [at for at, own in enumerate(lengths) if own == length]
            settings = SamplingSettings(max_tokens=length, temperature=0.0)
            prompts = [self._run.prompt_ids(pairs[at][0]) for at in some]
            written = self._written(prompts, settings)
            for at, text in zip(some, written, strict=True):
                found[at] = text == pairs[at][1]
        return found


def _sampling(settings: Mapping[str, Any]) -> SamplingSettings:
    """What lm-eval's settings of a request ask for."""
    until = settings.get("until", [])
    is_drawn = bool(settings.get("do_sample"))
    return SamplingSettings(
        max_tokens=int(settings.get("max_gen_toks", LONGEST_ANSWER)),
        stop=tuple([until] if isinstance(until, str) else until),
        temperature=float(settings.get("temperature", 1.0)) if is_drawn else 0.0,
        top_p=float(settings.get("top_p", 1.0)) if is_drawn else 1.0,
    )


def lm_eval_model(run: Run) -> Any:
    """An lm-eval `LM` of a run.

    Raises:
        RunError: lm-eval is not installed.
    """
    try:
        from lm_eval.api.model import LM  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise RunError(
            "lm-eval is not installed", remedy="install it with `pip install lm-eval`"
        ) from error
    base: Any = LM

    class HomespunLM(base):  # type: ignore[misc, unused-ignore]
        """`Requests` behind lm-eval's own base class."""

        def __init__(self) -> None:
            super().__init__()
            self._requests = Requests(run)

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return self._requests.loglikelihood(requests)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return self._requests.loglikelihood_rolling(requests)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return self._requests.generate_until(requests)

    return HomespunLM()


def evaluate_tasks(
    run: Run,
    tasks: Sequence[str],
    *,
    most: int | None = None,
    shots: int | None = None,
    include: Path | None = None,
) -> dict[str, Any]:
    """Let lm-eval ask a run tasks of its own collection, whose data it fetches itself, or tasks
    that somebody has described.

    Args:
        tasks: lm-eval's names ("piqa", "cmmlu").
        most: questions of each; None for all.
        shots: worked examples before each question; None for what the task says.
        include: folder with tasks as lm-eval describes them (YAML), which may name files of data
            there.

    Returns:
        JSON values: of each task the numbers of lm-eval, by its own names; where it has none, as
        for the error of a single question, its name is left out.

    Raises:
        RunError: lm-eval is not installed, or cannot do it. DataError: `include` is no folder.
    """
    if include is not None and not include.is_dir():
        raise DataError(
            "there is no such folder of tasks", got=str(include), remedy="check its name"
        )
    model = lm_eval_model(run)
    import lm_eval  # type: ignore[import-not-found, unused-ignore]

    try:
        found = lm_eval.simple_evaluate(
            model=model,
            tasks=list(tasks),
            limit=most,
            num_fewshot=shots,
            bootstrap_iters=1000,
            **_manager(include),
        )
    except Exception as error:  # whatever its tasks, their data or the network come to
        raise RunError(
            "lm-eval could not ask these tasks",
            got=f"{type(error).__name__}: {error}",
            remedy="`lm-eval ls tasks` lists those it has; their data are fetched from a hub",
        ) from error
    results = {
        task: {name: value for name, value in row.items() if _is_number(value)}
        for task, row in found["results"].items()
    }
    return {"format": 1, "benchmark": "lm-eval", "shots": shots, "most": most, "tasks": results}


def _manager(include: Path | None) -> dict[str, Any]:
    if include is None:
        return {}
    from lm_eval.tasks import TaskManager  # type: ignore[import-not-found, unused-ignore]

    return {"task_manager": TaskManager(include_path=str(include))}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
