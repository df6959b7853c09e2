"""Models that read their prompt both ways, behind the server: they continue it, or fill a blank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from homespun.core import RequestError
from homespun.recipes.serve.seat import EngineSeat

if TYPE_CHECKING:
    from homespun.recipes.run import Run
    from homespun.recipes.serve.process import EngineWish


class BothWaysSeat(EngineSeat):
    """Such a model as the server wants it. It makes no vectors: its states are of another kind of
    reading than embeddings are."""

    def embed(self, prompts: Sequence[Sequence[int]]) -> NoReturn:
        raise RequestError("this model reads its prompt both ways, and makes no vectors")


def both_ways_seat(run: Run, wish: EngineWish) -> BothWaysSeat:
    """The seat of a run that was pretrained with the objective "prefix" or "blank".

    Raises:
        CheckpointError: its weights are missing or damaged.
    """
    from homespun.inference.search.both_ways import BothWaysEngine
    from homespun.recipes.learn.behind import NOTICE
    from homespun.recipes.weights import load_model
    from homespun.training import set_threads

    if wish.num_threads is not None:
        set_threads(wish.num_threads)
    model = load_model(run.directory, run.stage, both_ways=True)
    num_behind = 1 if run.objective == "blank" else 0
    more = {} if wish.max_rows is None else {"max_rows": wish.max_rows}
    engine = BothWaysEngine(model, run.tokenizer, num_behind=num_behind, **more)
    is_other = wish._replace(max_rows=None, num_threads=None) != type(wish)()
    return BothWaysSeat(engine, model, NOTICE if is_other else "")


def blank_mark(run: Run) -> int | None:
    """The token that stands for a blank; None for models that fill none."""
    if run.objective != "blank":
        return None
    from homespun.recipes.learn.targets import blank_marks

    return blank_marks(run.tokenizer)[0]
