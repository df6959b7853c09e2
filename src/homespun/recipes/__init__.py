"""Functions that do a whole job. The only place that wires rooms together.

pipeline, stages   spin: a folder of text to a model you can talk to; one stage at a time
run       Run: open a run, generate, chat, export; list_runs
texts     corpus, conversations, tokenizer, shards, baselines
plan      which size, how long, on how many threads; kept in plan.json
measure, expected   speed and memory on this machine; what a run's loss should be on the way
scale, learn   the scaling law: sweep, pilot, search; pretraining and the chat fine-tune
extend, imports, batch   runs that go on learning; models from elsewhere; files of prompts
weights, prior, judge   a run's weights; the n-gram table beside them; evaluation and report
timing, process, checkup   where time went; how this process waits; doctor
applications, scoring   tasks of a file; how good answers are
search, writing, tagging   passages; stories; names in a corpus
encoder, rewriter, counted, recurrent   what tasks begin with; vectors and n-grams; RNN to GRU
bench, families, questions, shakespeare   measurements beside others

Everything is loaded on first use, so that importing this package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.recipes.batch import BatchResult, generate_file
    from homespun.recipes.checkup import doctor
    from homespun.recipes.extend import (
        average_run,
        continue_run,
        extend_context,
        extend_vocabulary,
        grow_run,
    )
    from homespun.recipes.imports import import_model, load
    from homespun.recipes.pipeline import spin
    from homespun.recipes.plan import PlanOptions
    from homespun.recipes.run import Run, RunSummary, list_runs, open_run
    from homespun.recipes.stages import (
        build_corpus_stage,
        chat_stage,
        evaluate_stage,
        plan_stage,
        pretrain_stage,
        report_stage,
        train_tokenizer_stage,
    )

_HOME = {
    "BatchResult": "batch",
    "PlanOptions": "plan",
    "Run": "run",
    "RunSummary": "run",
    "average_run": "extend",
    "build_corpus_stage": "stages",
    "chat_stage": "stages",
    "continue_run": "extend",
    "doctor": "checkup",
    "evaluate_stage": "stages",
    "extend_context": "extend",
    "extend_vocabulary": "extend",
    "generate_file": "batch",
    "grow_run": "extend",
    "import_model": "imports",
    "load": "imports",
    "list_runs": "run",
    "open_run": "run",
    "plan_stage": "stages",
    "pretrain_stage": "stages",
    "report_stage": "stages",
    "spin": "pipeline",
    "train_tokenizer_stage": "stages",
}

__all__ = [
    "BatchResult",
    "PlanOptions",
    "Run",
    "RunSummary",
    "average_run",
    "build_corpus_stage",
    "chat_stage",
    "continue_run",
    "doctor",
    "evaluate_stage",
    "extend_context",
    "extend_vocabulary",
    "generate_file",
    "grow_run",
    "import_model",
    "list_runs",
    "load",
    "open_run",
    "plan_stage",
    "pretrain_stage",
    "report_stage",
    "spin",
    "train_tokenizer_stage",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"homespun.recipes.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'homespun.recipes' has no attribute {name!r}")
