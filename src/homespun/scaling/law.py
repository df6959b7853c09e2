"""law.json: the fitted law, how sure it is, and what it says of a run to come."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from homespun.core import Config, DataError, parse_config
from homespun.core.files import read_json, write_text
from homespun.scaling.fit import BASIC, LEAST_RUNS, Fit, fit_anew, fit_law
from homespun.scaling.isoflop import envelope, frontier
from homespun.scaling.loss import HIGHEST, LOWEST, Array, Points, log_loss
from homespun.scaling.runs import Counting, ScaleRun, runs_sha256

FORMAT = 1
LEVELS = (80, 95)
_KEPT_DRAWS = 250
_BEYOND = 10.0  # from the least and the most text that a table was counted on
_FILES = {"portable": "law.json", "fast": "law-fast.json"}
# Of text that repeats itself.
_REPEATING = {"portable": "law-documentation.json", "fast": "law-fast-documentation.json"}
_VOCABULARY = (
    "nats per token are those of this tokenizer; bits per byte, and data counted in bytes, carry "
    "over to another vocabulary, and what is left of its effect a plan measures with its pilot"
)


class Constants(Config):
    """L = E + A / N^alpha + B / D^beta, nats per token; R_D, R_N: worth of repeated text and of
    parameters beyond what the text suits, see `scaling.loss`."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    data_reuse: float
    parameter_reuse: float

    def vector(self) -> Array:
        tables = np.log([self.E, self.A, self.B])
        reuse = np.log([self.data_reuse, self.parameter_reuse])
        return np.array([*tables, self.alpha, self.beta, *reuse])

    def untold(self) -> list[str]:
        """Constants at the edge of what is searched: the runs do not tell them."""
        theta, names = self.vector(), list(type(self).model_fields)
        is_at_edge = np.isclose(theta, LOWEST) | np.isclose(theta, HIGHEST)
        return [name for name, at_edge in zip(names, is_at_edge, strict=True) if at_edge]

    @classmethod
    def of(cls, theta: Array) -> Constants:
        e, a, b, alpha, beta, data, parameter = (float(value) for value in theta)
        E, A, B, D, N = (math.exp(value) for value in (e, a, b, data, parameter))
        return cls(E=E, A=A, B=B, alpha=alpha, beta=beta, data_reuse=D, parameter_reuse=N)


class TableCurve(Config):
    """How good the n-gram table beside fast models is alone, by how much text it has counted.

    Attributes:
        order: longest n-gram.
        points: (tokens counted, nats per token of the validation text), fewest first.
    """

    order: int
    points: list[tuple[float, float]]

    def loss(self, unique_tokens: Any) -> Array:
        """ln of the loss is a line over ln of the tokens between two points, and goes on from the
        last two for a factor of `_BEYOND`. For text without end it is that of the most text."""
        x = np.log([at for at, _ in self.points])
        y = np.log([loss for _, loss in self.points])
        wanted = np.log(np.maximum(1.0, np.asarray(unique_tokens, dtype=np.float64)))
        wanted = np.where(np.isinf(wanted), x[-1], wanted)
        wanted = np.clip(wanted, x[0] - math.log(_BEYOND), x[-1] + math.log(_BEYOND))
        if len(x) == 1:
            return np.full(wanted.shape, math.exp(y[0]))
        k = np.clip(np.searchsorted(x, wanted) - 1, 0, len(x) - 2)
        slope = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
        values: Array = np.exp(y[k] + slope * (wanted - x[k]))
        return values


class Law(Config):
    """Attributes:
    provisional: fitted to a small sweep; to be replaced.
    corpus, preset, vocab_size, context: what the runs learnt, and how.
    bytes_per_token: of the validation text.
    repetition: of the validation text, see `scaling.between`; None where nobody has counted.
    counting: which parameters N counts, see `ScaleRun.counted`.
    constants, intervals: fitted; intervals by name and level, [low, high].
    fitted: the constants that the runs determined; the others are `given`, or Muennighoff's.
    noise: standard deviation of ln L of one run around the fit, of other seeds included.
    seed_noise: of seeds alone, None where no cell was run twice.
    drift: how far off, as ln L, a fit to all but the runs of most operations is at these, for each
        tenfold of operations between them; 0 where too few runs are left to tell.
    draws: (S, 7) rows of the bootstrap, see `loss.NAMES`.
    num_runs, runs_sha256: what it was fitted to.
    least_budget, least_tokens: grid runs of fewer operations, and runs of fewer tokens, were left
        out. given: constants taken over. joint: see `fit_law`.
    valid: smallest and largest N, D, operations, 6 N D ("products"; operations without those of
        attention) and readings of those runs.
    frontier, envelope: the parabolas and the lower edge, or why there are no exponents.
    table: of models with an n-gram table, how good it is alone. sharpness: see `scaling.loss`.
    curve: rows of (share of a run done, low, high): where the training loss of a run lies on the
        way, divided by the law's loss at the tokens read so far; of runs that have read
        `least_tokens`. Empty where nobody looked.
    """

    format: int = FORMAT
    provisional: bool = False
    corpus: str
    preset: str
    vocab_size: int
    context: int
    bytes_per_token: float
    repetition: float | None = None
    counting: Counting
    constants: Constants
    intervals: dict[str, dict[str, tuple[float, float]]]
    fitted: list[str]
    noise: float
    seed_noise: float | None
    drift: float = 0.0
    num_runs: int
    runs_sha256: str
    least_budget: float = 0.0
    least_tokens: float = 0.0
    given: dict[str, float] = Field(default_factory=dict)
    joint: bool = False
    valid: dict[str, tuple[float, float]]
    frontier: dict[str, Any]
    envelope: dict[str, Any] | None
    vocabulary: str = _VOCABULARY
    table: TableCurve | None = None
    sharpness: float = 1.0
    curve: list[tuple[float, float, float]] = Field(default_factory=list)
    draws: list[list[float]]

    @property
    def nats_per_bit(self) -> float:
        """Nats per token divided by this are bits per byte."""
        return math.log(2) * self.bytes_per_token

    def points(self, parameters: Any, tokens: Any, unique_tokens: Any = math.inf) -> Points:
        """Where the loss is wanted, with what the table alone would reach there."""
        alone = math.inf if self.table is None else self.table.loss(unique_tokens)
        return Points.of(parameters, tokens, unique_tokens, alone, self.sharpness)


class Prediction(NamedTuple):
    """Nats per token of the law's tokenizer, or bits per byte, as said where it is made."""

    loss: float
    low: float
    high: float

    def scaled(self, factor: float) -> Prediction:
        return Prediction(self.loss * factor, self.low * factor, self.high * factor)


def predict(
    law: Law,
    *,
    parameters: float,
    tokens: float,
    unique_tokens: float = math.inf,
    level: float = 95.0,
    seed: int = 0,
) -> Prediction:
    """The loss of one run to come, nats per token, with an interval that `level`% of them fall in.

    The interval holds what the fit does not know (the bootstrap), what one run differs from another
    (noise), and beyond the largest run what such fits have been found to miss (drift).

    Args:
        law: fitted.
        parameters: N, counted as `law.counting` says.
        tokens: to read, of the law's tokenizer.
        unique_tokens: different ones there are.
        level: percent.
        seed: of the noise that is added to the draws.
    """
    middle = float(losses(law, parameters, tokens, unique_tokens)[0])
    drawn = np.log(drawn_losses(law, parameters, tokens, unique_tokens))
    generator = np.random.Generator(np.random.PCG64(seed))
    spread = spread_of(law, parameters, tokens)
    many = np.repeat(drawn, 16) + generator.normal(0.0, spread, 16 * len(drawn))
    tail = (100.0 - level) / 2
    low, high = np.exp(np.percentile(many, [tail, 100.0 - tail]))
    return Prediction(middle, min(float(low), middle), max(float(high), middle))


def times_beyond(law: Law, parameters: float, tokens: float) -> float:
    """By how much a run's operations exceed those of the law's largest run; 1 where they do not.

    Both as 6 N D: those of attention, which N does not tell, are in neither.
    """
    largest = law.valid.get("products", law.valid["flops"])[1]
    return max(1.0, 6.0 * parameters * tokens / largest)


def spread_of(law: Law, parameters: float, tokens: float) -> float:
    """Standard deviation of ln L of a run around what the law says: the noise of one run, and
    beyond the largest run of the law what such fits have been found to miss."""
    drift = law.drift * math.log10(times_beyond(law, parameters, tokens))
    return math.hypot(law.noise, drift)


def losses(law: Law, parameters: Any, tokens: Any, unique_tokens: Any = math.inf) -> Array:
    """Nats per token at many points at once, without intervals."""
    points = law.points(parameters, tokens, unique_tokens)
    values: Array = np.exp(log_loss(law.constants.vector()[None], points)[0])
    return values


def drawn_losses(law: Law, parameters: float, tokens: float, unique_tokens: float) -> Array:
    """Nats per token at one point by each draw of the bootstrap, (S,): what the fit leaves open."""
    points = law.points(parameters, tokens, unique_tokens)
    values: Array = np.exp(log_loss(np.array(law.draws), points)[:, 0])
    return values


def make_law(  # noqa: PLR0913 - what a law is of
    runs: Sequence[ScaleRun],
    *,
    corpus: str,
    preset: str,
    bytes_per_token: float,
    repetition: float | None = None,
    counting: Counting = "compute",
    tables: Sequence[tuple[float, float]] = (),
    given: Mapping[str, float] | None = None,
    joint: bool = False,
    least_budget: float = 0.0,
    least_tokens: float = 0.0,
    provisional: bool = False,
    num_draws: int = 1000,
    seed: int = 0,
) -> Law:
    """Fit all there is to fit; hold-out runs are left out.

    Args:
        least_budget: grid runs of fewer operations are left out; the shortest runs are still
            warming up, and no power law.
        least_tokens: runs of fewer tokens are left out: in text that repeats itself models learn
            to copy all at once, and no power law holds across that.
        tables: further points of the `TableCurve`, beside those of the runs.
        given, joint: see `fit_law`.

    Raises:
        DataError: too few runs, or runs of different vocabularies, contexts or validation texts.
    """
    runs = fitted_runs(runs, least_budget, least_tokens)
    shapes = {(run.vocab_size, run.context, run.table_order) for run in runs}
    if len(shapes) > 1:
        raise DataError(
            "the runs have several vocabularies, contexts or tables",
            got=sorted(shapes),
            remedy="fit one",
        )
    judged = {run.settings.get("validation_tokens") for run in runs}
    if len(judged) > 1:
        raise DataError(
            "the runs were judged by different amounts of validation text",
            got=", ".join(map(str, judged)),
            remedy="fit runs of one --validation-tokens",
        )
    points, log_losses, budgets = arrays(runs, counting)
    fit = fit_law(
        points, log_losses, budgets, given=given, joint=joint, num_draws=num_draws, seed=seed
    )
    once = [run for run in runs if run.kind == "isoflop"]
    size = np.array([float(run.counted(counting)) for run in once])
    tokens = np.array([float(run.tokens) for run in once])
    loss = np.array([run.loss for run in once])
    aimed = np.array([run.budget for run in once])
    edge = envelope(aimed, loss)
    seeds = seed_noise(runs)
    names = ("E", "A", "B", "alpha", "beta", "data_reuse", "parameter_reuse")
    return Law(
        provisional=provisional,
        corpus=corpus,
        preset=preset,
        vocab_size=runs[0].vocab_size,
        context=runs[0].context,
        bytes_per_token=bytes_per_token,
        repetition=repetition,
        counting=counting,
        constants=Constants.of(fit.theta),
        intervals=_intervals(fit, names),
        fitted=[names[place] for place in fit.free],
        noise=max(seeds or 0.0, residual_noise(fit)),
        seed_noise=seeds,
        drift=forecast_drift(fit, points, log_losses, budgets, given=given),
        num_runs=len(runs),
        runs_sha256=runs_sha256(runs),
        least_budget=least_budget,
        least_tokens=least_tokens,
        given=dict(given or {}),
        joint=joint,
        valid=_range(runs, counting),
        frontier=_plain(frontier(aimed, size, tokens, loss, seed=seed)),
        envelope=None if edge is None else _plain(edge),
        table=_table_curve(runs, tables),
        sharpness=fit.sharpness,
        draws=[[float(f"{v:.6g}") for v in row] for row in _thinned(fit.draws)],
    )


def fitted_runs(
    runs: Sequence[ScaleRun], least_budget: float, least_tokens: float = 0.0
) -> list[ScaleRun]:
    """Those that a law is fitted to."""
    return [
        run
        for run in runs
        if run.kind != "hold-out"
        and (run.kind != "isoflop" or run.budget >= least_budget)
        and run.tokens >= least_tokens
    ]


def arrays(runs: Sequence[ScaleRun], counting: Counting) -> tuple[Points, Array, Array]:
    """Points, ln of the losses, and budgets of runs."""
    points = Points.of(
        [float(run.counted(counting)) for run in runs],
        [float(run.tokens) for run in runs],
        [float(run.unique_tokens) for run in runs],
        [math.inf if run.table_loss is None else run.table_loss for run in runs],
    )
    return points, np.log([run.loss for run in runs]), np.array([run.budget for run in runs])


def _table_curve(
    runs: Sequence[ScaleRun], more: Sequence[tuple[float, float]]
) -> TableCurve | None:
    told = {float(n): loss for n, loss in more}
    told |= {float(r.unique_tokens): r.table_loss for r in runs if r.table_loss is not None}
    if not told:
        return None
    return TableCurve(order=runs[0].table_order, points=sorted(told.items()))


def forecast_drift(
    fit: Fit,
    points: Points,
    log_losses: Array,
    budgets: Array,
    *,
    given: Mapping[str, float] | None = None,
) -> float:
    """See `Law.drift`: the grid's largest budget is foretold from all that is smaller, by a fit
    that begins anew, since one that began where that to all runs ended would know of them.

    Args:
        fit: to all of them.
        points, log_losses, budgets: see `arrays`.
        given: see `fit_law`.
    """
    points = points._replace(p=np.full(points.p.shape, fit.sharpness))
    of_grid = sorted(set(budgets[budgets > 0].tolist()))
    free = _fitted_to_once(fit)
    if len(of_grid) < 2:
        return 0.0
    ahead = (budgets == of_grid[-1]) & fit.once
    behind = (budgets != of_grid[-1]) & fit.once
    if behind.sum() < LEAST_RUNS + len(free) or not ahead.any():
        return 0.0
    reuse = {"data_reuse": math.exp(fit.theta[5]), "parameter_reuse": math.exp(fit.theta[6])}
    known = {**reuse, **(given or {})}
    theta = fit_anew(points.take(behind), log_losses[behind], free=free, given=known)
    errors = log_losses[ahead] - log_loss(theta[None], points.take(ahead))[0]
    return float(np.sqrt(np.square(errors).mean()) / math.log10(of_grid[-1] / of_grid[-2]))


def residual_noise(fit: Fit) -> float:
    """Standard deviation of ln L around the fit among runs that read their text once, in the manner
    of least squares: the sum is divided by the runs less the constants fitted to them."""
    left = max(1, int(fit.once.sum()) - len(_fitted_to_once(fit)))
    return float(np.sqrt(np.square(fit.residuals[fit.once]).sum() / left))


def _fitted_to_once(fit: Fit) -> NDArray[np.intp]:
    """The constants that were fitted to the runs `fit.once`: in a joint fit, which these are all
    of, the worth of repeated text too."""
    return fit.free if fit.once.all() else np.intersect1d(fit.free, BASIC)


def seed_noise(runs: Sequence[ScaleRun]) -> float | None:
    """Standard deviation of ln L among runs that differ in the seed alone, pooled over cells."""
    cells: dict[tuple[Any, ...], list[float]] = {}
    for run in runs:
        cell = (run.width, run.num_layers, run.tokens, run.unique_tokens, run.context)
        cells.setdefault(cell, []).append(math.log(run.loss))
    several = [np.array(v) for v in cells.values() if len(v) > 1]
    if not several:
        return None
    squares = sum(float(np.square(v - v.mean()).sum()) for v in several)
    return math.sqrt(squares / sum(len(v) - 1 for v in several))


def write_law(path: Path, law: Law) -> None:
    """As JSON, one line a draw."""
    values = law.model_dump(mode="json")
    draws = values.pop("draws")
    head = json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False)
    rows = ",\n".join("    " + json.dumps(row) for row in draws)
    write_text(path, f'{head[:-2]},\n  "draws": [\n{rows}\n  ]\n}}\n')


def read_law(path: Path | None = None, *, preset: str = "portable", repeats: bool = False) -> Law:
    """The law in `path`; without one, the law of a preset that comes with Homespun: of novels,
    or of documentation, which repeats itself.

    Raises:
        DataError, ConfigError: damaged, or of another format.
    """
    name = (_REPEATING if repeats else _FILES)[preset]
    where = f"homespun/scaling/{name}" if path is None else str(path)
    if path is None:
        value = json.loads(resources.files("homespun.scaling").joinpath(name).read_text())
    else:
        value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DataError(
            f"{where} is not a law of format {FORMAT}",
            remedy="fit it again with `homespun scale fit`",
        )
    return parse_config(Law, value, where=where)


def optimal_parameters(law: Law, tokens: float) -> float:
    """N that suits D tokens read once: where alpha A / N^alpha = beta B / D^beta."""
    c = law.constants
    return float((c.alpha * c.A * tokens**c.beta / (c.beta * c.B)) ** (1 / c.alpha))


def optimum(law: Law, flops: float, *, flops_per_parameter: float = 6.0) -> tuple[float, float]:
    """(N, D) of least loss with N · D · flops_per_parameter = `flops`, in closed form."""
    c = law.constants
    product = flops / flops_per_parameter
    ratio = c.alpha * c.A / (c.beta * c.B)
    n = (ratio * product**c.beta) ** (1 / (c.alpha + c.beta))
    return float(n), float(product / n)


def _intervals(fit: Fit, names: Sequence[str]) -> dict[str, dict[str, tuple[float, float]]]:
    values = fit.draws.copy()
    values[:, [0, 1, 2, 5, 6]] = np.exp(values[:, [0, 1, 2, 5, 6]])
    columns = {names[place]: values[:, place] for place in fit.free}
    if {3, 4} & set(fit.free.tolist()):
        alpha, beta = fit.draws[:, 3], fit.draws[:, 4]
        columns["a = beta / (alpha + beta)"] = beta / (alpha + beta)
    return {
        name: {str(level): _middle(column, level) for level in LEVELS}
        for name, column in columns.items()
    }


def _middle(column: Array, level: float) -> tuple[float, float]:
    tail = (100.0 - level) / 2
    low, high = np.percentile(column, [tail, 100.0 - tail])
    return float(low), float(high)


def _thinned(draws: Array) -> Array:
    return draws[:: max(1, len(draws) // _KEPT_DRAWS)][:_KEPT_DRAWS]


def _range(runs: Sequence[ScaleRun], counting: Counting) -> dict[str, tuple[float, float]]:
    columns = {
        "parameters": [float(run.counted(counting)) for run in runs],
        "tokens": [float(run.tokens) for run in runs],
        "flops": [run.flops for run in runs],
        "epochs": [run.epochs for run in runs],
        "products": [6.0 * run.counted(counting) * run.tokens for run in runs],
    }
    return {name: (min(column), max(column)) for name, column in columns.items()}


def _plain(record: Any) -> dict[str, Any]:
    """A named tuple, those inside it too, as dictionaries of JSON values."""
    values = dict(record._asdict())
    for key, value in values.items():
        if isinstance(value, list):
            values[key] = [v._asdict() if hasattr(v, "_asdict") else v for v in value]
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
