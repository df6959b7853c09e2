"""`homespun average`: the mean of checkpoints or of runs, measured against each of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError, Progress, RunDirectory, RunError, Silent
from homespun.core.files import sha256_file, write_json
from homespun.recipes.extend import lineage
from homespun.recipes.extend.compare import compare, held_out_pieces, in_numbers, score
from homespun.recipes.extend.engine import link_texts
from homespun.recipes.judge import ensure_report
from homespun.recipes.plan import read_plan
from homespun.recipes.prior.kept import read_prior, same_table
from homespun.recipes.process import prepare_process
from homespun.recipes.weights import check_causal

if TYPE_CHECKING:
    from torch import Tensor


class Candidate(NamedTuple):
    """Weights that go into the mean: a checkpoint of a run, or a run's last.

    Attributes:
        name: as people are told it, another one for each.
        place: what it is known by when the mean is asked for again: the checkpoint, or the run as
            it is found from the folder of the first one, by its name there or by its full path.
        weights: by name.
    """

    name: str
    place: str
    weights: dict[str, Tensor]


def average_run(
    run: Path | str,
    others: Sequence[Path | str] = (),
    *,
    last: int | None = None,
    weights: Sequence[float] | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Average the newest checkpoints of a run, or the final weights of several runs, and measure
    the mean and every part of it on the validation text of the first that has some.

    Args:
        run: the run whose checkpoints are meant, or the first of several.
        others: further runs, of the same shape and tokenizer.
        last: how many checkpoints; all that are kept where None. Not with several runs.
        weights: of the mean, oldest first or in the order of the runs; equal where None.
        name: keep the mean as a new run of this name; it is only measured where None.
        progress: who is told.

    Returns:
        `{"format", "parts": [{"name", "bits_per_byte", "weight"}], "average": {"bits_per_byte"},`
        `"best", "change", "sentences", "run"}`, `change` being the mean against the best part.

    Raises:
        ConfigError: weights that do not fit, or fewer than two parts.
        RunError: a run without a model, or of another shape or tokenizer; a name that is taken; no
            run with a text, as where all were imported without.
    """
    prepare_process()  # before torch is loaded
    from homespun.models import DecoderConfig, load_weights
    from homespun.models.reshape.average import average_weights
    from homespun.tokenizer import open_tokenizer

    say = progress or Silent()
    first = RunDirectory.open(run)
    runs = [first, *map(RunDirectory.open, others)]
    parts = _runs(runs, last) if others else _checkpoints(first, last, say)
    mean = average_weights([part.weights for part in parts], weights)
    shares = [1.0] * len(parts) if weights is None else list(weights)
    for one in runs:
        check_causal(one)
    shape = DecoderConfig(**read_plan(first).model)
    tokenizer = open_tokenizer(first.path)
    prior = read_prior(first, whole=True) if shape.ngram_prior else None
    measured = _with_text(runs)
    pieces = {"same": held_out_pieces(measured.corpus)}
    task = say.task("measuring", len(parts) + 1, "models")
    found = []
    for part in [*parts, Candidate("average", "", mean)]:
        model = shape.empty()
        load_weights(model, part.weights, where=part.name)
        if prior is not None:
            model.attach_prior(prior)
        model.eval()
        found.append(score(model, tokenizer, pieces))
        task.advance()
    task.finish()
    against = [compare(single, found[-1], seed=0)["same"] for single in found[:-1]]
    best = min(range(len(parts)), key=lambda place: against[place].before)
    change = against[best]
    sentences = [_verdict(change.outcome, parts[best].name) + f": {in_numbers(change)}."]
    result: dict[str, Any] = {
        "format": 1,
        "parts": [
            {"name": part.name, "bits_per_byte": single.before, "weight": share / sum(shares)}
            for part, single, share in zip(parts, against, shares, strict=True)
        ],
        "average": {"bits_per_byte": change.after},
        "best": parts[best].name,
        "change": change.model_dump(),
        "sentences": sentences,
        "run": None,
    }
    if name is not None:
        is_weighted = weights is not None
        places = [part.place for part in parts]
        kept = _keep(
            first, name, mean, result, places=places, is_weighted=is_weighted, texts_of=measured
        )
        lineage.write_change(kept, {"same": change}, sentences, result={})
        ensure_report(kept, again=True)
        result["run"] = str(kept.path)
    return result


def _verdict(outcome: str, best: str) -> str:
    return {
        "better": f"The average is better than {best}, the best of its parts",
        "worse": f"The average is worse than {best}, the best of its parts: keep that",
        "unclear": f"The average is no better and no worse than {best}, the best of its parts",
        "unknown": f"The average beside {best}, the best of its parts",
    }[outcome]


def _checkpoints(run: RunDirectory, last: int | None, progress: Progress) -> list[Candidate]:
    """The newest checkpoints of pretraining that are whole, oldest first; `progress` is told of
    one that cannot be read now."""
    from safetensors.torch import load_file

    from homespun.training.checkpoint import WEIGHTS, verify_checkpoint

    folder = run.stage("pretrain") / "checkpoints"
    there = sorted(folder.glob("step-????????")) if folder.is_dir() else []
    # The one of step 0 has learnt nothing yet.
    trained = [path for path in there if int(path.name.removeprefix("step-"))]
    whole = []
    for path in trained:
        try:
            if not verify_checkpoint(path):
                whole.append(path)
        except RunError as error:
            progress.say(f"averaging without a checkpoint: {error.what}")
    wanted = len(whole) if last is None else last
    if wanted < 2:
        raise ConfigError(
            "an average needs at least two checkpoints",
            got=wanted,
            remedy="train the run further, give --last 2 or more, or name several runs",
        )
    if wanted > len(whole):
        raise ConfigError(
            f"{run.path} keeps {len(whole)} whole checkpoints",
            got=f"--last {wanted}",
            remedy=f"give --last {len(whole)} or leave it out",
        )
    return [Candidate(path.name, path.name, load_file(path / WEIGHTS)) for path in whole[-wanted:]]


def _with_text(runs: Sequence[RunDirectory]) -> RunDirectory:
    """The first with a text to be measured on, which a run that was imported may be without."""
    for run in runs:
        if (run.corpus / "card.json").is_file():
            return run
    raise RunError(
        f"{runs[0].path} was imported without a text, and an average is measured on one",
        remedy="import one of the models again, with --text and another --name",
    )


def _runs(runs: Sequence[RunDirectory], last: int | None) -> list[Candidate]:
    """The final weights of several runs of one shape and tokenizer."""
    from homespun.training import load_weights

    if last is not None:
        raise ConfigError(
            "the last checkpoints of one run can be averaged, or several runs",
            got="both",
            remedy="leave --last or the other runs out",
        )
    first, found = runs[0], []
    paths = [run.path.resolve() for run in runs]
    for run, path, name in zip(runs, paths, told_apart(paths), strict=True):
        if not (run.stage("pretrain") / "done.json").is_file():
            raise RunError(
                f"{run.path} has no pretrained model yet",
                remedy=f"run `homespun pretrain {run.path}` first",
            )
        if sha256_file(run.tokenizer) != sha256_file(first.tokenizer):
            raise RunError(
                f"{run.path} has another tokenizer than {first.path}",
                remedy="average runs that began from one: made by `continue` or `extend`",
            )
        if _shape(run) != _shape(first):
            raise RunError(
                f"the model of {run.path} is of another shape than that of {first.path}",
                remedy="average runs of one shape",
            )
        if not same_table(run, first):
            raise RunError(
                f"the model of {run.path} stands beside another n-gram table than that of "
                f"{first.path}: it has learnt to correct that one",
                remedy="average runs that learnt from the same text",
            )
        is_beside = path.parent == first.path.parent.resolve()
        place = path.name if is_beside else str(path)
        found.append(Candidate(name, place, load_weights(run.stage("pretrain"))))
    return found


def told_apart(paths: Sequence[Path]) -> list[str]:
    """Paths by their last parts, as many of them as tell all that differ apart."""
    num_different = len(set(paths))
    for num in range(1, max(len(path.parts) for path in paths)):
        names = [str(Path(*path.parts[-num:])) for path in paths]
        if len(set(names)) == num_different:
            return names
    return list(map(str, paths))


def _shape(run: RunDirectory) -> dict[str, Any]:
    """The model without what matters in training alone: texts read more or less often have
    different dropout."""
    return {**read_plan(run).model, "dropout": 0.0}


def _keep(
    first: RunDirectory,
    name: str,
    mean: dict[str, Tensor],
    result: dict[str, Any],
    *,
    places: Sequence[str],
    is_weighted: bool,
    texts_of: RunDirectory,
) -> RunDirectory:
    """A new run whose pretraining is the mean.

    Args:
        places: of the parts.
        texts_of: the run on whose text it was measured.

    Raises:
        RunError: the run that is there is another mean.
    """
    from homespun.training import read_done, save_checkpoint
    from homespun.training.checkpoint import write_done

    settings: dict[str, Any] = {"parts": list(places)}
    if is_weighted:  # of other weights it is another mean, whose figures are not this one's
        settings["weights"] = [part["weight"] for part in result["parts"]]
    record = lineage.describe_parent(first, kind="average", settings=settings)
    source = first.record().asked.get("source")
    asked = {"command": "average", "parent": record.run, "source": source, **settings}
    run = lineage.begin_child(
        first.path.parent / name, first, record, asked=asked, seed=first.record().seed
    )
    with run.locked():
        link_texts(first, run)
        lineage.take_folder(texts_of.corpus, run.corpus, last="card.json")
        lineage.take_table(first, run)
        shutil.copyfile(first.plan, run.plan)
        done = read_done(first.stage("pretrain"))
        assert done is not None  # the record above was made of it
        stage = run.stage("pretrain")
        if read_done(stage) is None:
            step = int(done.result.get("steps", 0))
            path = save_checkpoint(stage, step, mean, {}, {"step": step})
            write_done(stage, path, done.result)
        write_json(run.path / "average.json", result)
    return run
