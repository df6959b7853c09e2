"""A model from elsewhere becomes a run: its weights a finished stage, its tokenizer beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import DataError, Progress, RunDirectory, Silent
from homespun.core.files import read_json, sha256_file, write_json
from homespun.core.machine import num_cores
from homespun.recipes.imports.places import is_on_hub, model_place
from homespun.recipes.plan import RunPlan
from homespun.recipes.process import prepare_process

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import DecoderConfig
    from homespun.tokenizer import ImportedTokenizer

IMPORT_FILE = "import.json"
_READ = (".jinja", ".json", ".model", ".safetensors")


def import_model(
    source: str,
    run_dir: Path,
    *,
    context: int | None = None,
    text: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a run of a model in a Hugging Face folder; returns import.json.

    The run answers to generate, chat (where the model has a chat template) and export, and with
    `text` to eval. Repeated with the same arguments it goes on where it stopped; of a model that is
    there already nothing is fetched or read again.

    Args:
        source: a folder, or "hub:OWNER/NAME".
        run_dir: of the new run.
        context: longest sequence in tokens, where that is to be less than the model's.
        text: a folder, file or named corpus to measure the model on.

    Raises:
        DataError, ConfigError, CheckpointError: the model cannot be read, see `read_hf` and
            `read_tokenizer_files`, or there is no such text; RunError: there is another run of
            that name.
    """
    from homespun.recipes.pipeline import source_name

    prepare_process()
    say = progress or Silent()
    if text is not None:
        source_name(text)  # a wrong one is told now
    # Before there is a run: a model that cannot be read leaves nothing behind. Of one that is there
    # nothing is asked for again, least of all of a hub.
    is_there = (run_dir / "pretrain" / "done.json").is_file()
    found = None if is_there else _read(_folder(source, say), context)
    run = RunDirectory.create(
        run_dir,
        asked={"command": "import", "model": source, "context": context, "source": text},
        seed=0,
    )
    with run.locked():
        if found is not None and not (run.stage("pretrain") / "done.json").is_file():
            _write(run, found, source=source)
        if text is not None:
            from homespun.recipes.texts import ensure_corpus

            ensure_corpus(run, text, language="auto", seed=0, progress=say)
    record: dict[str, Any] = read_json(run.path / IMPORT_FILE)
    return record


def _folder(source: str, progress: Progress) -> Path:
    folder = model_place(source, progress=progress)
    if not is_on_hub(source) and not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder",
            remedy="give a folder with config.json and *.safetensors, or hub:OWNER/NAME",
        )
    return folder


class _Found(NamedTuple):
    folder: Path
    tokenizer: ImportedTokenizer
    config: DecoderConfig
    tensors: dict[str, Tensor]


def _read(folder: Path, context: int | None) -> _Found:
    from homespun.models import read_hf
    from homespun.tokenizer import ImportedTokenizer, read_tokenizer_files

    config, tensors = read_hf(folder, context=context)
    files = read_tokenizer_files(folder)
    tokenizer = ImportedTokenizer(
        files.document,
        marks=files.marks,
        roles=files.roles,
        chat_template=files.chat_template,
        where=f"the tokenizer in {folder}",
    )
    if tokenizer.vocab_size > config.vocab_size:
        raise DataError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} ids and the model knows "
            f"{config.vocab_size}",
            remedy="fetch the model again: its files do not belong together",
        )
    return _Found(folder, tokenizer, config, tensors)


def _write(run: RunDirectory, found: _Found, *, source: str) -> None:
    from homespun.models import count_parameters
    from homespun.training.checkpoint import save_checkpoint, write_done

    folder, tokenizer, config, tensors = found
    parameters = count_parameters(config)
    tokenizer.save(run.path)
    write_json(
        run.path / IMPORT_FILE,
        {
            "format": 1,
            "source": source,
            "parameters": parameters,
            "context": config.context,
            "vocab_size": config.vocab_size,
            "chats": tokenizer.chat_template is not None,
            "sha256": {
                path.name: sha256_file(path)
                for path in sorted(folder.iterdir())
                if path.is_file() and (path.suffix in _READ or path.name == "merges.txt")
            },
        },
    )
    plan = RunPlan(
        asked={"command": "import", "model": source},
        size=f"{config.width}x{config.num_layers}",
        parameters=parameters,
        model=config.model_dump(mode="json"),
        rows=1,
        seconds=None,
        num_steps=None,
        expected_tokens=0,
        expected_epochs=0.0,
        speeds=[],
        reason=f"imported from {source}",
        compute_dtype="float32",
        threads=num_cores(),
    )
    write_json(run.plan, plan.model_dump(mode="json"))
    stage = run.stage("pretrain")
    checkpoint = save_checkpoint(stage, 0, tensors, {}, {})
    write_done(stage, checkpoint, {"imported": source})
