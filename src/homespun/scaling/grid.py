"""Which runs a sweep makes: sizes around the expected optimum of each budget, cheap ones first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from homespun.core import ConfigError

BUDGETS = (1e12, 3e12, 1e13, 3e13)
WIDTHS = (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 224, 256, 320, 384)
SIZES_A_BUDGET = 5
# Where the lowest points lie at these sizes with Muon; 20 is usual with AdamW (Hoffmann et al.).
TOKENS_A_PARAMETER = 5.0
_RATIO = 2.0  # from one size to the next of a budget
FEWEST_TOKENS = 2_000
REPEATS = (1, 2, 4, 8, 16)


class Size(NamedTuple):
    """A shape and what it costs. `parameters` are those multiplied for each token."""

    width: int
    num_layers: int
    parameters: int
    flops_per_token: float


class Cell(NamedTuple):
    """A run to make.

    Attributes:
        tokens: to read.
        unique_tokens: of the training text at most; None for all of it.
        budget: operations it belongs to, 0 for none.
    """

    kind: Literal["isoflop", "repeat", "hold-out"]
    budget: float
    size: Size
    tokens: int
    unique_tokens: int | None
    seed: int

    @property
    def flops(self) -> float:
        return self.size.flops_per_token * self.tokens

    @property
    def key(self) -> str:
        """Its name, which is its folder too."""
        text = "all" if self.unique_tokens is None else f"{self.unique_tokens}"
        shape = f"{self.size.width}x{self.size.num_layers}"
        return f"{self.kind}-{self.budget:.0e}-{shape}-d{self.tokens}-u{text}-s{self.seed}"


def isoflop_cells(
    budgets: Sequence[float], sizes: Sequence[Size], *, num: int = SIZES_A_BUDGET, seed: int = 0
) -> list[Cell]:
    """For each budget `num` of the `sizes`, about a factor of two apart, around the size that would
    read `TOKENS_A_PARAMETER` at 6 operations a token and parameter."""
    cells = []
    for budget in budgets:
        centre = centre_of(budget)
        wanted = [centre * _RATIO ** (k - (num - 1) / 2) for k in range(num)]
        for size in _nearest(wanted, sizes):
            tokens = int(budget / size.flops_per_token)
            if tokens >= FEWEST_TOKENS:
                cells.append(Cell("isoflop", budget, size, tokens, None, seed))
    return by_cost(cells)


def centre_of(budget: float) -> float:
    """Parameters around which the sizes of a budget are laid."""
    return math.sqrt(budget / (6 * TOKENS_A_PARAMETER))


def repeat_cells(
    size: Size, tokens: int, *, repeats: Sequence[int] = REPEATS, seed: int = 0
) -> list[Cell]:
    """The same size and tokens, from ever smaller parts of the text: read once, twice, …"""
    return [Cell("repeat", 0.0, size, tokens, tokens // times, seed) for times in repeats]


def repeated_part(budgets: Sequence[float], sizes: Sequence[Size], *, seed: int = 0) -> list[Cell]:
    """Repeated readings at two sizes, one four times the other, of the budget in the middle, or of
    the lower of two."""
    middle = sorted(budgets)[(len(budgets) - 1) // 2]
    centre = centre_of(middle)
    cells = []
    for size in _nearest([centre, 4 * centre], sizes):
        cells += repeat_cells(size, int(middle / size.flops_per_token), seed=seed)
    return cells


def anchor_cells(cells: Sequence[Cell], seeds: Sequence[int]) -> list[Cell]:
    """The middle cell of the first and last budgets once more for each further seed."""
    budgets = sorted({cell.budget for cell in cells})
    anchors = []
    for budget in {budgets[0], budgets[-1]} if budgets else ():
        inside = sorted((c for c in cells if c.budget == budget), key=lambda c: c.size.parameters)
        anchors += [inside[len(inside) // 2]._replace(seed=seed) for seed in seeds]
    return by_cost(anchors)


def by_cost(cells: Sequence[Cell]) -> list[Cell]:
    """Cheapest first; of equal cost the smaller model first. A killed sweep has whole budgets."""
    return sorted(cells, key=lambda c: (c.budget or c.flops, c.size.parameters, c.seed))


def parse_shapes(text: str) -> list[tuple[int, int]]:
    """ "32x2,64x3" as pairs of width and layers.

    Raises:
        ConfigError: it is something else.
    """
    shapes = []
    for part in text.split(","):
        width, mark, layers = part.strip().partition("x")
        if not (mark and width.isdecimal() and layers.isdecimal() and int(width) and int(layers)):
            raise ConfigError(
                "a shape is WIDTHxLAYERS", got=part, remedy="give for example --sizes 32x2,64x3"
            )
        shapes.append((int(width), int(layers)))
    return shapes


def _nearest(wanted: Sequence[float], sizes: Sequence[Size]) -> list[Size]:
    """For each number the nearest size on a log scale that is not taken yet, smallest first."""
    left = list(sizes)
    taken = []
    for number in wanted:
        if left:
            best = min(left, key=lambda size: abs(math.log(size.parameters / number)))
            left.remove(best)
            taken.append(best)
    return sorted(taken, key=lambda size: size.parameters)
