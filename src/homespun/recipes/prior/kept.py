"""A run's n-gram table: counted once from its training text, kept beside the plan, read in use.

    prior.safetensors   the table of all text and, in tensors of their own, those without a block
    prior.json          what was counted, how long it took, and the SHA-256 of both parts

The table is no part of a checkpoint: it is a function of the shards and the plan, so it can be
counted again, and prior.json knows whether it came out the same. prior.json is written first and
prior.safetensors last: the file is there once it is whole.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import (
    CheckpointError,
    Config,
    Progress,
    RunDirectory,
    RunError,
    TextBlocks,
    parse_config,
)
from homespun.core.files import atomic_path, read_json, write_json
from homespun.recipes.plan import RunPlan

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import Decoder, DecoderConfig, NgramPrior

FORMAT = 1


class PriorRecord(Config):
    """What prior.json holds.

    Attributes:
        order: longest n-gram. num_blocks: parts of the text that have a table without them.
        num_ngrams: of all orders, that occur. tokens: that were counted.
        copy_context: of the rows in which runs may come again; None where it does not look.
        num_bytes: of memory, in use: without the blocks' tables.
        seconds: that counting took.
        whole_sha256, blocks_sha256: of names, types, shapes and numbers of the tensors.
    """

    format: int = FORMAT
    order: int
    num_blocks: int
    num_ngrams: int
    tokens: int
    num_bytes: int
    seconds: float
    whole_sha256: str
    blocks_sha256: str
    copy_context: int | None = None

    @property
    def wanted(self) -> tuple[int, int, int, int | None]:
        """What a plan may want otherwise."""
        return (self.order, self.num_blocks, self.tokens, self.copy_context)


class CountedText(NamedTuple):
    """The stream a run's table counts: what its ancestors learnt from, and its own training text.

    Attributes:
        tokens: all of it.
        own_start: where the run's own training text begins in it.
    """

    tokens: Any
    own_start: int


def table_path(run: RunDirectory) -> Path:
    return run.path / "prior.safetensors"


def record_path(run: RunDirectory) -> Path:
    return run.path / "prior.json"


def has_table(plan: RunPlan) -> bool:
    """Whether the plan's model stands beside a table.

    Raises:
        RunError: the plan contradicts itself.
    """
    if bool(plan.prior_order) != bool(plan.model.get("ngram_prior")):
        raise RunError(
            "the plan gives its model no table but wants one, or the other way round",
            got=f"prior_order {plan.prior_order}, ngram_prior {plan.model.get('ngram_prior')}",
            remedy="make the plan again with `homespun plan`",
        )
    return bool(plan.prior_order)


def counted_text(run: RunDirectory) -> CountedText:
    """Replay folders by name, then the run's own shards, as one stream."""
    from homespun.corpus import open_split
    from homespun.corpus.token_view import TokenView

    older = sorted(path.parents[1] for path in run.path.glob("replay/*/shards/index.json"))
    folders = [*(folder / "shards" for folder in older), run.shards]
    parts: list[Any] = [open_split(folder, "train") for folder in folders]
    own_start = sum(len(part) for part in parts[:-1])
    return CountedText(parts[0] if len(parts) == 1 else TokenView(parts), own_start)


def own_blocks(run: RunDirectory, plan: RunPlan) -> TextBlocks | None:
    """Of the run's own training text, as its table leaves them out; None without a table.

    Raises:
        RunError: as `has_table`.
    """
    if not has_table(plan):
        return None
    text = counted_text(run)
    return text_blocks(text, plan.prior_blocks).part(text.own_start)


def text_blocks(text: CountedText, num_blocks: int) -> TextBlocks:
    """The blocks of all that is counted."""
    import numpy as np

    tokens = np.asarray(text.tokens)
    # Every document of a split is preceded by the mark that ends one.
    return TextBlocks(tokens, end_of_text_id=int(tokens[0]), num_blocks=num_blocks)


def ensure_prior(run: RunDirectory, plan: RunPlan, *, progress: Progress) -> PriorRecord | None:
    """Count the table `plan` wants, unless the run has it; None where it wants none.

    Raises:
        CheckpointError: a table that was lost does not come out as it was.
    """
    if not has_table(plan):
        if not _is_begun(run):  # of an earlier plan, by which nothing was trained
            table_path(run).unlink(missing_ok=True)
            record_path(run).unlink(missing_ok=True)
        return None
    return keep_prior(
        run,
        order=plan.prior_order,
        num_blocks=plan.prior_blocks,
        copy_context=int(plan.model["context"]) if plan.prior_copies else None,
        vocab_size=int(plan.model["vocab_size"]),
        progress=progress,
    )


def keep_prior(
    run: RunDirectory,
    *,
    order: int,
    num_blocks: int,
    vocab_size: int,
    copy_context: int | None = None,
    progress: Progress,
) -> PriorRecord:
    """Count a table of the run's text, unless the run has that one; for a plan in the making too.

    Args:
        copy_context: see `make_prior`.

    Raises:
        CheckpointError: a table that was lost does not come out as it was.
    """
    text = counted_text(run)
    before = _record(run) if record_path(run).is_file() else None
    if before is not None and copy_context is not None and _has_parent(run):
        # A model whose rows have become longer looks back as far as its parent's table tells.
        copy_context = before.copy_context
    wanted = (order, num_blocks, len(text.tokens), copy_context)
    if before is not None and before.wanted != wanted:
        if _is_begun(run):
            raise CheckpointError(
                f"the text or the plan of {run.path} is another than its n-gram table was counted "
                "for, and a model was trained beside that table",
                got=f"{len(text.tokens)} tokens, {before.tokens} were counted",
                remedy="restore shards/, replay/ and plan.json from a copy",
            )
        # Counted for an earlier plan.
        table_path(run).unlink(missing_ok=True)
        before = None
    if before is not None and table_path(run).is_file():
        return before
    import numpy as np
    from safetensors.torch import save_file

    from homespun.recipes.prior.counting import make_prior

    task = progress.task("counting n-grams")
    began = time.monotonic()
    tokens = np.asarray(text.tokens)
    prior = make_prior(
        tokens,
        vocab_size=vocab_size,
        order=order,
        blocks=text_blocks(text, num_blocks),
        end_of_text_id=int(tokens[0]),
        copy_context=copy_context,
    )
    tensors = prior.tensors()
    record = PriorRecord(
        order=prior.order,
        num_blocks=prior.num_blocks,
        num_ngrams=prior.num_ngrams,
        tokens=len(tokens),
        copy_context=copy_context,
        num_bytes=prior.whole().num_bytes(),
        seconds=round(time.monotonic() - began, 3),
        **_digests(tensors),
    )
    if before is not None and _shas(before) != _shas(record):
        raise CheckpointError(
            f"the n-gram table of {run.path} was lost and does not come out as it was",
            remedy="restore prior.safetensors, shards/ and plan.json from a copy",
        )
    with atomic_path(table_path(run)) as temporary:
        if before is None:  # what counting took is part of the stage's settings: it stays
            write_json(record_path(run), record.model_dump())
        save_file(tensors, temporary)
    task.finish(f"{record.num_ngrams:,} n-grams of up to {record.order} tokens")
    return before or record


def read_prior(run: RunDirectory, *, whole: bool) -> NgramPrior:
    """The run's table, verified.

    Args:
        whole: leave the tables without a block where they are; only training needs them.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    from homespun.models import NgramPrior
    from homespun.models.prior.tables import BLOCKS

    path = table_path(run)
    if not path.is_file() or not record_path(run).is_file():
        raise CheckpointError(
            f"the model of {run.path} has an n-gram table and "
            f"{path.name if not path.is_file() else record_path(run).name} is missing",
            remedy=_remedy(run),
        )
    record = _record(run)
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if not (whole and name.startswith(BLOCKS))]  # noqa: SIM118 - the file is no mapping
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", remedy=_remedy(run)) from error
    wanted = {"whole_sha256": record.whole_sha256, "blocks_sha256": record.blocks_sha256}
    found = _digests(tensors)
    for part in ("whole_sha256",) if whole else tuple(wanted):
        if found[part] != wanted[part]:
            raise CheckpointError(
                f"{path} is damaged: its content is not what was written", remedy=_remedy(run)
            )
    return NgramPrior.from_tensors(tensors, where=str(path))


def attach_prior(
    model: Decoder, run: RunDirectory, config: DecoderConfig, *, whole: bool = True
) -> Decoder:
    """Give `model`, of the shape `config`, the table of `run` where it wants one; returns it.

    Raises:
        CheckpointError: as `read_prior`.
    """
    if config.ngram_prior:
        model.attach_prior(read_prior(run, whole=whole))
    return model


def _is_begun(run: RunDirectory) -> bool:
    """Whether a model has been trained, or begun to be, by the run's plan."""
    return (run.stage("pretrain") / "config.json").is_file()


def _has_parent(run: RunDirectory) -> bool:
    """Whether it goes on from another run, whose table it may have."""
    return (run.path / "parent.json").is_file()


def counting_seconds(run: RunDirectory) -> float:
    """What counting the run's table took when it was counted first; 0 without one."""
    return _record(run).seconds if record_path(run).is_file() else 0.0


def same_table(one: RunDirectory, other: RunDirectory) -> bool:
    """Whether two runs' models stand beside equal tables, or both beside none."""
    records = [_record(run) if record_path(run).is_file() else None for run in (one, other)]
    return len({None if r is None else r.whole_sha256 for r in records}) == 1


def _record(run: RunDirectory) -> PriorRecord:
    path = record_path(run)
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a record this version reads",
            remedy=f"use the version that wrote it, or {_remedy(run)}",
        )
    return parse_config(PriorRecord, value, where=str(path))


def _remedy(run: RunDirectory) -> str:
    again = f"run `homespun pretrain {run.path}`"
    if _has_parent(run):
        again = "repeat the command it was begun with"
    return (
        f"delete {table_path(run)} if it is there and {again}, which counts it again, or restore "
        "it from a copy"
    )


def _digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    from homespun.models.prior.tables import BLOCKS

    whole, blocks = hashlib.sha256(), hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest = blocks if name.startswith(BLOCKS) else whole
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().data)
    return {"whole_sha256": whole.hexdigest(), "blocks_sha256": blocks.hexdigest()}


def _shas(record: PriorRecord) -> tuple[str, str]:
    return record.whole_sha256, record.blocks_sha256
