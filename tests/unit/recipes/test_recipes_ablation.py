"""A recipe with one thing changed: which changes there are, what a difference is worth, and that a
benchmark that was killed goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from homespun.cli.main import build_app
from homespun.core import ConfigError
from homespun.core.files import read_jsonl
from homespun.recipes.bench.ablation import (
    AblationAsk,
    bench_ablation,
    compared,
    parse_variant,
    usual_variants,
)
from homespun.recipes.bench.ablation import run as run_module
from homespun.recipes.bench.ablation.variants import Variant, changes, chosen
from homespun.recipes.bench.recipe import StartingRecipe, override


def training(variant: str, seed: int, loss: float, speed: float = 100.0) -> dict[str, Any]:
    return {
        "variant": variant,
        "seed": seed,
        "val_loss": loss,
        "val_bpb": loss / 2,
        "tokens": 10,
        "tokens_per_second": speed,
        "parameters": 7,
    }


def test_a_change_is_a_name_and_settings() -> None:
    assert parse_variant("more: rows=16, model.smear=false") == Variant(
        "more", ("rows=16", "model.smear=false")
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('train.ema={"kind":"ema","start":0.3},rows=4', ('train.ema={"kind":"ema","start":0.3}',
         "rows=4")),
        ("a=[1,[2,3]], b=1", ("a=[1,[2,3]]", "b=1")),
        (r'a="x,\",y",b=2', (r'a="x,\",y"', "b=2")),
        ("a=1,,b=", ("a=1", "b=")),
        ("a=[1,b=2", ("a=[1,b=2",)),
    ],
)  # fmt: skip
def test_a_value_may_be_json(text: str, parts: tuple[str, ...]) -> None:
    assert parse_variant(f"name:{text}").settings == parts


def test_an_average_of_weights_may_be_set() -> None:
    base = StartingRecipe.from_preset("portable")
    variant = parse_variant('ema:train.ema={"kind":"ema","start":0.3},rows=4')
    recipe = override(base, variant.settings)
    ema = recipe.training(seconds=None, num_steps=1, seed=0).ema
    assert ema is not None
    assert ema.start == 0.3


@pytest.mark.parametrize("text", ["rows=16", "name:", ":rows=16", "name:rows", ""])
def test_a_change_without_name_or_setting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NAME:key=value"):
        parse_variant(text)


@pytest.mark.parametrize("preset", ["fast", "portable"])
def test_the_usual_changes_change_something_and_can_be_trained(preset: str) -> None:
    base = StartingRecipe.from_preset(preset)
    variants = usual_variants(base)
    assert len(variants) > 12
    assert len({v.name for v in variants}) == len(variants)
    seen = []
    for variant in variants:
        recipe = override(base, variant.settings)
        assert changes(base, variant)
        seen.append((recipe.decoder(512), recipe.training(seconds=None, num_steps=1, seed=0),
                     recipe.rows, recipe.prior_order, recipe.prior_copies))  # fmt: skip
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])


def test_what_a_preset_has_not_is_not_taken_away_from_it() -> None:
    def names(preset: str) -> set[str]:
        return {v.name for v in usual_variants(StartingRecipe.from_preset(preset))}

    assert {"no n-gram table", "no smear", "no softcap", "swiglu"} <= names("fast")
    assert not {"no n-gram table", "no smear", "no softcap", "swiglu"} & names("portable")
    assert "relu2" in names("portable") - names("fast")


def test_a_change_of_an_unknown_name_is_told() -> None:
    known = usual_variants(StartingRecipe.from_preset("fast"))
    assert [v.name for v in chosen(known, ("no smear",))] == ["no smear"]
    with pytest.raises(ConfigError, match="did you mean 'no smear'"):
        chosen(known, ("no smaer",))


def test_differences_are_between_trainings_of_one_seed() -> None:
    base, other = [3.0, 4.0, 5.0], [3.1, 4.3, 5.2]
    rows = [training("as it is", seed, loss) for seed, loss in enumerate(base)]
    rows += [training("other", seed, loss, speed=80.0) for seed, loss in enumerate(other)]
    first, second = compared(rows, "as it is")
    assert (first["difference"], first["low"], first["high"]) == (0.0, None, None)
    expected = stats.ttest_rel(other, base).confidence_interval(0.95)
    assert second["difference"] == pytest.approx(0.2)
    assert (second["low"], second["high"]) == pytest.approx((expected.low, expected.high))
    assert second["speed"] == pytest.approx(0.8)
    assert second["val_bpb"] == pytest.approx(np.mean(other) / 2)


def test_a_seed_without_its_partner_is_no_difference() -> None:
    rows = [training("as it is", 0, 3.0), training("other", 1, 3.5)]
    assert compared(rows, "as it is")[1]["difference"] is None
    rows.append(training("other", 0, 3.25))
    found = compared(rows, "as it is")[1]
    assert (found["difference"], found["low"]) == (0.25, None)


@pytest.fixture
def ask(tmp_path: Path) -> AblationAsk:
    folder = tmp_path / "texts"
    folder.mkdir()
    random = np.random.default_rng(0)
    words = ["the", "cat", "and", "a", "dog", "sat", "on", "that", "mat", "while", "it", "rained"]
    for number in range(12):
        text = ". ".join(" ".join(random.choice(words, 9)) for _ in range(60))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return AblationAsk(
        str(folder),
        3.0,
        tmp_path / "kept",
        num_steps=4,
        size="16x2",
        only=("no smear",),
        changes=(Variant("one row", ("rows=1",)),),
        seeds=(0, 1),
        vocab_size=320,
    )


def test_every_change_is_trained_with_every_seed_once(
    ask: AblationAsk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bench_ablation(ask)
    assert [row["variant"] for row in found["variants"]] == ["as it is", "no smear", "one row"]
    assert [(row["variant"], row["seed"]) for row in found["trainings"]] == [
        (name, seed) for seed in (0, 1) for name in ("as it is", "no smear", "one row")
    ]
    assert all(row["steps"] == 4 for row in found["trainings"])
    assert found["variants"][1]["difference"] != 0.0

    # By steps a training is the same again, to the bit: a missing one comes out as before.
    path = ask.keep / "trainings.jsonl"
    rows = list(read_jsonl(path))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    again = bench_ablation(ask)
    assert [r["val_loss"] for r in again["trainings"]] == [r["val_loss"] for r in rows]

    def never(*_: Any, **__: Any) -> dict[str, Any]:
        raise AssertionError("trained again")

    monkeypatch.setattr(run_module, "learn_and_judge", never)
    assert bench_ablation(ask)["variants"] == again["variants"]
    # Another change of the same name is another training, and what the first came to stays.
    other = ask._replace(changes=(Variant("one row", ("rows=2",)),), seeds=(0,))
    with pytest.raises(AssertionError, match="trained again"):
        bench_ablation(other)
    monkeypatch.undo()
    assert [row["settings"] for row in bench_ablation(other)["trainings"]] == [
        [],
        ["model.smear=false"],
        ["rows=2"],
    ]
    assert bench_ablation(ask)["variants"] == again["variants"]
    for taken in ("as it is", "no smear"):
        with pytest.raises(ConfigError, match=f"same name.*{taken}"):
            bench_ablation(ask._replace(changes=(Variant(taken, ("rows=2",)),)))
    with pytest.raises(ConfigError, match="another question"):
        bench_ablation(ask._replace(num_steps=5))


def test_a_wrong_setting_is_told_by_the_command(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(
        build_app(), ["bench", "ablation", "--change", "rows", "--keep", str(tmp_path / "kept")]
    )
    assert done.exit_code != 0
    assert not (tmp_path / "kept").exists()
