"""A run's model with its weights, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from homespun.core import CheckpointError, ConfigError, RunDirectory, RunError, did_you_mean
from homespun.recipes.plan import read_plan
from homespun.recipes.prior.kept import attach_prior

if TYPE_CHECKING:
    from homespun.models import Decoder
    from homespun.recipes.run import Run


def load_model(run: RunDirectory, stage: str, *, both_ways: bool = False) -> Decoder:
    """The decoder with the final weights of `stage`, verified against their sha256, and with its
    n-gram table where it has one.

    Args:
        both_ways: the caller lets a model read a prefix both ways, where it has learned to.

    Raises:
        RunError: it has, and the caller does not.
        CheckpointError: weights or table are missing or damaged, or do not fit the plan's shape.
    """
    from homespun.models import DecoderConfig, load_weights
    from homespun.training import load_weights as stage_weights

    plan = read_plan(run)
    if not both_ways:
        check_causal(run)
    config = DecoderConfig(**plan.model)
    model = config.empty()
    load_weights(model, stage_weights(run.stage(stage)), where=str(run.stage(stage)))
    model.eval()
    return attach_prior(model, run, config)


def check_causal(run: RunDirectory) -> None:
    """Raises RunError where the run's model reads a prefix both ways."""
    objective = read_plan(run).objective
    if objective != "causal":
        raise RunError(
            f"{run.path} was pretrained with --objective {objective} and reads what stands before "
            "both ways, as only `homespun generate` and `homespun serve` do: here it would be "
            "asked wrongly",
            remedy=f"use `homespun generate {run.name} --prompt TEXT`, or pretrain another run",
        )


def export(run: Run, out: Path) -> Path:
    """Write weights, config, tokenizer and chat template as a Hugging Face directory.

    Raises:
        RunError: `out` exists and is not an empty folder.
    """
    from homespun.models import DecoderConfig, export_hf
    from homespun.models.interchange import refuse_export

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} exists and is not empty", remedy="export to a new folder")
    check_causal(run.directory)
    config = DecoderConfig(**read_plan(run.directory).model)
    refuse_export(config)
    files = [run.path / name for name in ("tokenizer.json", "tokenizer_config.json")]
    for path in files:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing", remedy="restore it from a copy")
    tokenizer = run.tokenizer
    export_hf(
        run.model,
        config,
        tokenizer_files=files,
        out=out,
        end_of_text_id=tokenizer.end_of_text_id,
        end_of_turn_id=tokenizer.end_of_turn_id if run.can_chat else None,
        start_id=tokenizer.start_ids[-1] if tokenizer.start_ids else None,
    )
    return out


def write_gguf(run: Run, out: Path, quantization: str) -> Path:
    """Write weights, tokenizer and chat template as one file for llama.cpp.

    Raises:
        RunError: `out` exists. ConfigError: llama.cpp has no such model, tokenizer or quantisation.
    """
    import json

    from homespun.models import DecoderConfig, GgufFacts, Quantization, export_gguf
    from homespun.models.interchange import refuse_gguf
    from homespun.tokenizer import ByteLevelTokenizer, ImportedTokenizer, gguf_vocabulary

    if out.exists():
        raise RunError(f"{out} exists", remedy="choose a new file")
    found = next((kind for kind in get_args(Quantization) if kind == quantization.lower()), None)
    if found is None:
        kinds = list(get_args(Quantization))
        raise ConfigError(
            "there is no quantisation of that name",
            got=quantization,
            remedy=did_you_mean(quantization, kinds),
        )
    tokenizer = run.tokenizer
    assert isinstance(tokenizer, ByteLevelTokenizer | ImportedTokenizer)
    check_causal(run.directory)
    config = DecoderConfig(**read_plan(run.directory).model)
    refuse_gguf(config)
    facts = GgufFacts(
        name=run.path.name,
        vocabulary=gguf_vocabulary(json.loads(tokenizer.document), vocab_size=config.vocab_size),
        start_ids=tokenizer.start_ids,
        end_of_text_id=tokenizer.end_of_text_id,
        end_of_turn_id=tokenizer.end_of_turn_id if run.can_chat else None,
        chat_template=tokenizer.chat_template if run.can_chat else None,
    )
    export_gguf(run.model, config, out, facts=facts, quantization=found)
    return out
