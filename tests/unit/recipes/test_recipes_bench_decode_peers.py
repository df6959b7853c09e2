"""Those that are measured beside us are given the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.models import Decoder, DecoderConfig
from homespun.recipes.bench import DecodeAsk, bench_decode, decode
from homespun.recipes.bench.decode_peers import ct2, hf
from homespun.recipes.bench.decode_peers.contestant import without_prompt
from homespun.recipes.bench.decode_peers.vino import OpenVino
from homespun.recipes.bench.decode_peers.vino_graph import rounded, vino_model

SHORT = DecodeAsk(sizes=["1m"], weights=[], batches=[1, 3], seconds=0.01, threads=1)
SHAPES = list(decode.DECODE_SHAPES)
IDS_BT = np.arange(60).reshape(3, 20) * 17 % 2000


def sample(shape: str) -> tuple[Decoder, DecoderConfig]:
    """A model all of whose parts count."""
    config = decode.config_of(decode.DECODE_SIZES["1m"], shape)
    model = decode.random_model(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model, config


def scores(model: Decoder) -> Any:
    with torch.inference_mode():
        return model.head(model(torch.tensor(IDS_BT))).numpy()


def distance(found: Any, wanted: Any) -> float:
    """Of scores, as a share of their spread."""
    return float(np.sqrt(np.square(found - wanted).mean()) / wanted.std())


@pytest.mark.parametrize("shape", SHAPES)
def test_openvino_computes_the_same_model(shape: str) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    model, config = sample(shape)
    wanted_BTV = scores(model)
    for is_int8, near in ((False, 1e-4), (True, 0.1)):
        graph = vino_model(openvino, model, config, is_int8=is_int8)
        theirs = OpenVino(openvino, graph, 1, is_exact=not is_int8)
        for _ in range(2):  # from the start, whatever the state held
            found_BV = theirs.scores(IDS_BT[:, :15], 0, 1)
            assert distance(found_BV, wanted_BTV[:, 14]) < near
            for at in range(15, 20):
                found_BV = theirs.scores(IDS_BT[:, at : at + 1], at, 1)
            assert distance(found_BV, wanted_BTV[:, 19]) < near


def test_ctranslate2_computes_the_same_model(tmp_path: Path) -> None:
    library = pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed")
    for shape in SHAPES:
        model, config = sample(shape)
        wanted_BTV = scores(model)
        for kind, near in (("float32", 1e-4), ("int8", 0.1)):
            folder = tmp_path / f"{shape}-{kind}"
            folder.mkdir()
            ct2.write_ct2(library, model, config, folder, kind)
            theirs = library.Generator(str(folder), compute_type=kind, intra_threads=1)
            found_BTV = np.array(theirs.forward_batch(IDS_BT.tolist()))
            assert distance(found_BTV, wanted_BTV) < near, (shape, kind)
        assert np.array_equal(scores(model), wanted_BTV), "ours stays as it is"


@pytest.mark.parametrize(
    ("peer", "names"),
    [
        ("ctranslate2", ["ctranslate2 float32", "ctranslate2 int8"]),
        ("openvino", ["openvino float32", "openvino int8"]),
    ],
)
def test_others_are_measured_beside(peer: str, names: list[str]) -> None:
    pytest.importorskip(peer, reason=f"{peer} is not installed")
    (size,) = bench_decode(SHORT._replace(peers=[peer]))["sizes"]
    assert [row["name"] for row in size["contenders"]] == names
    for row in size["contenders"]:
        assert min(row["tokens_per_second"].values()) > 0
        assert row["prefill_tokens_per_second"] > 0


@pytest.mark.parametrize("shape", ["llama", "gpt2", "qwen3"])
def test_transformers_are_measured_in_bfloat16_too_where_it_is_fast(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    model, config = sample(shape)
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("homespun.models.best_compute_dtype", lambda _, dtype=dtype: dtype)
        found = dict(hf.by_transformers(model, config, 1))
        names = ["transformers float32", "transformers bfloat16"]
        assert list(found) == names[: 1 + (dtype == torch.bfloat16)]
    assert found[names[0]].num_bytes == 2 * found[names[1]].num_bytes
    assert found[names[1]].read(8) > 0


def test_time_of_the_prompt_is_left_out() -> None:
    took = iter([8.0, 1.0, 3.0, 9.0, 3.5])  # a first call; then the second prompt was held up
    write = without_prompt(lambda rows, tokens: next(took))
    assert write(1, 10) == 2.0
    assert write(1, 10) == 2.5


def test_whole_numbers_are_near_and_zero_is_zero() -> None:
    weight_ND = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    weight_ND[1] = 0
    weight_ND[2] = np.abs(weight_ND[2])
    weight_ND[:, 7] = 0
    whole_ND, scale_N1, zero_N1 = rounded(weight_ND)
    found_ND = (whole_ND.astype(np.float32) - zero_N1) * scale_N1.astype(np.float32)
    assert (np.abs(found_ND - weight_ND) <= 0.51 * scale_N1.astype(np.float32) + 1e-6).all()
    assert not found_ND[:, 7].any()
