"""What memory and disk there are for a training, which shapes fit, and a clear no where none does.

Memory is that of the whole process: what it holds already, the model, and what a step takes, as
`measure.needed_memory` foretells it.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from homespun.core import BudgetError, ConfigError, RunDirectory
from homespun.core.machine import available_memory, give_back_memory
from homespun.core.processes import process_place
from homespun.recipes.measure import counting_bytes, resident_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from homespun.models import DecoderConfig
    from homespun.recipes.plan import RunPlan

# Other programs' needs change while a training goes on, and a machine without any room left swaps.
FREE_SHARE = 0.9
SMALL_ROOM = 1_500_000_000
LEAST_MEMORY = 1_000_000
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Room(NamedTuple):
    """Memory that a training process may hold.

    Attributes:
        limit: bytes. is_given: by hand, instead of what there is here.
        where: said of the bytes.
    """

    limit: int
    is_given: bool = False
    where: str = "that are free here"

    @property
    def is_small(self) -> bool:
        """Whether it is worth giving back what was freed."""
        return self.is_given or self.limit < SMALL_ROOM

    def in_words(self) -> str:
        return f"the {size_text(self.limit)} {'given' if self.is_given else self.where}"


class Fitting(NamedTuple):
    """Attributes:
    shapes: that fit. parts: of each, that the rows of a step are to be cut into, one after another.
    left_out: some did not fit.
    """

    shapes: list[DecoderConfig]
    parts: list[int]
    left_out: bool = False

    def parts_of(self, shape: DecoderConfig) -> int:
        """Of a shape that fits."""
        return self.parts[self.shapes.index(shape)]


def find_room(given: int | None = None, *, busy: bool = True) -> Room | None:
    """What this process may hold; None where models are trained on a GPU, whose memory this is
    not.

    Args:
        given: bytes, taken as they are; None for most of what is free, and what it holds already.
        busy: whether what other programs hold is not to be had; else it is most of all there is,
            which is the same however busy the machine is.
    """
    from homespun.recipes.together import training_device

    if given is not None:
        return Room(given, is_given=True)
    if training_device() != "cpu":
        return None
    memory, share = available_memory(), process_place().local_size
    if not busy:
        return Room(round(FREE_SHARE * memory.total / share), where="of this machine")
    return Room(round(FREE_SHARE * memory.free / share) + resident_bytes())


def fitting(
    shapes: Sequence[DecoderConfig],
    room: Room | None,
    *,
    rows_of: Callable[[DecoderConfig], int],
    need: Callable[[DecoderConfig, int], int],
) -> Fitting:
    """Those of the shapes, smallest first, that fit, each with the rows of a step in as few parts
    as will do: learning from them one after another costs little, a smaller model more.

    Args:
        rows_of: rows of a step of a shape.
        need: bytes of training a shape with so many rows at once.

    Raises:
        BudgetError: none fits with a row at a time.
    """
    if room is None:
        return Fitting(list(shapes), [1] * len(shapes))
    size = process_place().size
    found = [(shape, _least_parts(shape, rows_of(shape), size, room, need)) for shape in shapes]
    fit = [(shape, parts) for shape, parts in found if parts is not None]
    if fit:
        left_out = len(fit) < len(shapes)
        return Fitting([shape for shape, _ in fit], [parts for _, parts in fit], left_out)
    wanted = need(shapes[0], 1)
    first = "this size" if len(shapes) == 1 else "even the smallest size"
    raise BudgetError(
        f"{first} needs {size_text(wanted)} of memory to train, more than {room.in_words()}",
        remedy="give a larger --memory"
        if room.is_given
        else "close other programs, or choose a smaller --size",
    )


def _least_parts(
    shape: DecoderConfig,
    rows: int,
    processes: int,
    room: Room,
    need: Callable[[DecoderConfig, int], int],
) -> int | None:
    """A power of two; None where a shape does not fit with a row at a time."""
    parts = 1
    while need(shape, rows_at_once(rows, parts, processes)) > room.limit:
        if parts >= rows:
            return None
        parts *= 2
    return parts


def rows_at_once(rows: int, parts: int, processes: int = 1) -> int:
    """What one process holds of a step's rows."""
    return max(1, math.ceil(rows / (parts * processes)))


def parse_memory(text: str | None) -> int | None:
    """Bytes of "4GB", "512 MB" or "1.5G".

    Raises:
        ConfigError: it is none of those.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", text, re.IGNORECASE)
    size = float(found[1]) * _UNITS[found[2].lower()] if found else 0.0
    if not LEAST_MEMORY <= size <= 10**15:
        raise ConfigError(
            "memory is a number with a unit, a megabyte at least",
            got=text,
            remedy="write --memory 4GB, for example",
        )
    return round(size)


def check_room(run: RunDirectory, plan: RunPlan) -> None:
    """Before a stage of training begins.

    Raises:
        BudgetError: the plan foretold more memory or disk than there is.
    """
    from homespun.recipes.prior.kept import table_path

    if plan.disk_bytes is not None:
        table = table_path(run)  # written while it was planned
        written = table.stat().st_size if table.is_file() else 0
        left = max(0, plan.disk_bytes - written)
        check_disk(run.path, left, what="the checkpoints of this plan")
    need = plan.memory_bytes if plan.needed_bytes is None else plan.needed_bytes
    if need is None or plan.asked.get("memory") is not None:
        return
    have = available_here()  # a plan leaves a part of it to others
    if find_room() is not None and need > have:
        raise BudgetError(
            f"training by this plan needs {size_text(need)} of memory, and "
            f"{size_text(have)} are free here",
            remedy="close other programs, or plan for a smaller --size or with --memory",
        )


def available_here() -> int:
    """Bytes this process holds or could have."""
    return available_memory().free // process_place().local_size + resident_bytes()


def check_disk(folder: Path, wanted: int | None, *, what: str) -> None:
    """Raises BudgetError where so many bytes do not fit on the disk of `folder`."""
    if wanted is None:
        return
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise BudgetError(
            f"{what} take {size_text(wanted)} and the disk of {there} has room for "
            f"{size_text(free)}",
            remedy="free some disk, or put the run on another one with --runs",
        )


def check_counting(order: int, num_tokens: int, *, remedy: str) -> None:
    """Before an n-gram table is counted, which the system would end without a word.

    What was freed stays with this process until it is given back: after a table and the trials
    beside it, that is as much as the next one takes. It is, where there is no room otherwise.

    Raises:
        BudgetError: it takes more memory than there is here; `remedy` says what to do.
    """
    counting = counting_bytes(order, num_tokens)
    if (room := find_room()) is not None and resident_bytes() + counting > room.limit:
        give_back_memory()
        room = find_room()
    if room is not None and (need := resident_bytes() + counting) > room.limit:
        raise too_long_to_count(need, room, remedy=remedy)


def too_long_to_count(need: int, room: Room, *, remedy: str) -> BudgetError:
    return BudgetError(
        f"counting the n-gram table of this text needs {size_text(need)} of memory, more than "
        f"{room.in_words()}",
        remedy=remedy,
    )


def without_limit(room: Room, other: str) -> str:
    """A sentence that says what the limit changed."""
    return f"chosen to fit into {room.in_words()}: without that limit it would be {other}"


def size_text(count: float) -> str:
    """ "1.5 GB", decimal units."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"
