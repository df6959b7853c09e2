"""Tiny runs whose models stand beside an n-gram table, for this process and for those it kills."""

from __future__ import annotations

from typing import Any

from homespun.core import RunDirectory
from homespun.core.files import read_json, write_json
from homespun.models import count_parameters, decoder_shape
from homespun.recipes.plan import make_run_plan
from homespun.recipes.scale.shapes import changes_for

ORDER, BLOCKS = 3, 4


def plan_with_table(run: RunDirectory, **settings: Any) -> dict[str, Any]:
    """`make_run_plan`, of a little model of the preset fast beside a table."""
    make_run_plan(run, **settings)
    plan: dict[str, Any] = read_json(run.plan)
    shape = decoder_shape(
        width=32,
        num_layers=2,
        vocab_size=plan["model"]["vocab_size"],
        context=plan["model"]["context"],
        preset="fast",
        changes=changes_for("fast"),
    )
    plan |= {
        "preset": "fast",
        "prior_order": ORDER,
        "prior_blocks": BLOCKS,
        "prior_copies": True,
        "model": shape.model_dump(),
        "parameters": count_parameters(shape),
        "prediction": None,
    }
    write_json(run.plan, plan)
    return plan
