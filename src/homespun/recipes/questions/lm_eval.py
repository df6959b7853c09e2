"""lm-eval's door to a run: `simple_evaluate(model=lm_eval_model(run), tasks=[…])`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from homespun.core import RunError, SamplingSettings

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
        context would write just that."""
        pairs = [request.args for request in requests]
        nats = self._scored.score_continuations(
            [str(context) for context, _ in pairs], [str(said) for _, said in pairs]
        )
        return [
            (-float(value), self._is_greedy(str(context), str(said)))
            for value, (context, said) in zip(nats, pairs, strict=True)
        ]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Of each (text,): its log-probability as a whole document."""
        return [-self._scored.score([str(request.args[0])]).nats for request in requests]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Of each (context, settings): what is written until one of `until`, greedily unless
        `do_sample`."""
        found = []
        for request in requests:
            context, settings = request.args
            until = settings.get("until", [])
            sampling: dict[str, Any] = {
                "max_tokens": int(settings.get("max_gen_toks", LONGEST_ANSWER)),
                "stop": tuple([until] if isinstance(until, str) else until),
                "temperature": 0.0,
            }
            if settings.get("do_sample"):
                sampling["temperature"] = float(settings.get("temperature", 1.0))
                sampling["top_p"] = float(settings.get("top_p", 1.0))
            found.append(self._written(str(context), **sampling))
        return found

    def _written(self, context: str, *, max_tokens: int, **sampling: Any) -> str:
        """What is written behind the end of a context: so much of it as the window has room for."""
        engine = self._run.engine
        max_tokens = min(max_tokens, engine.window - 1)
        ids = self._run.prompt_ids(context)[-(engine.window - max_tokens) :]
        return engine.generate(ids, SamplingSettings(max_tokens=max_tokens, **sampling)).text

    def _is_greedy(self, context: str, said: str) -> bool:
        ids = self._run.tokenizer.encode(said)
        if not len(ids) or not context:
            return False
        return self._written(context, max_tokens=len(ids), temperature=0.0) == said


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
