"""`homespun bench decode`: who is measured, and what is said of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from homespun.core import ConfigError
from homespun.models import Quantization
from homespun.models.interchange.hf import refuse_export
from homespun.recipes.bench import DecodeAsk, bench_decode, decode
from homespun.recipes.bench.decode_peers import CONTEXT, write_random_gguf
from homespun.recipes.bench.decode_peers.llama_cpp import _LlamaCpp

SHORT = DecodeAsk(sizes=["1m"], weights=["float32", "int8"], batches=[1, 3], seconds=0.01)


def test_each_contender_has_a_rate_of_every_batch_and_of_a_prompt() -> None:
    (size,) = bench_decode(SHORT)["sizes"]
    assert [row["name"] for row in size["contenders"]] == ["homespun float32", "homespun int8"]
    for row in size["contenders"]:
        assert set(row["tokens_per_second"]) == {"1", "3"}
        assert min(row["tokens_per_second"].values()) > 0
        assert row["prefill_tokens_per_second"] > 0
        assert row["share_of_read_bandwidth"] > 0
    exact, rounded = (row["weight_bytes"] for row in size["contenders"])
    assert 0.25 < rounded / exact < 0.28  # 8.5 of 32 bits


def test_a_peer_that_is_unknown_or_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no such peer.*llama\.cpp"):
        bench_decode(SHORT._replace(peers=["llama.cp"]))
    with pytest.raises(ConfigError, match=r"no shape of that name.*qwen3"):
        bench_decode(SHORT._replace(shape="qwen4"))
    with pytest.raises(ConfigError, match=r"no such kind of weights.*int8"):
        bench_decode(SHORT._replace(weights=["int9"]))
    for batch in (0, -1, 65):
        with pytest.raises(ConfigError, match="1 to 64 rows"):
            bench_decode(SHORT._replace(batches=[1, batch]))
    for peer, module, package in (
        ("llama.cpp", "llama_cpp", "llama-cpp-python"),
        ("ctranslate2", "ctranslate2", "ctranslate2"),
        ("openvino", "openvino", "openvino"),
        ("transformers", "transformers", "transformers"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match=f"pip install {package}`"):
            bench_decode(SHORT._replace(peers=[peer], weights=[]))


@pytest.mark.parametrize("shape", list(decode.DECODE_SHAPES))
def test_every_shape_is_written_by_the_compiled_step_and_known_elsewhere(shape: str) -> None:
    config = decode.config_of(decode.DECODE_SIZES["1m"], shape)
    assert refuse_export(config).model_type == shape
    found = bench_decode(SHORT._replace(shape=shape, weights=["int8"], batches=[1]))
    assert found["shape"] == shape
    (row,) = found["sizes"][0]["contenders"]  # which "native" refuses where it cannot
    assert row["tokens_per_second"]["1"] > 0


@pytest.mark.parametrize(("kind", "bits"), [("f16", 16), ("q8_0", 8.5), ("q4_0", 4.5)])
def test_the_file_for_llama_cpp_has_the_same_shape_in_as_many_bits(
    kind: Quantization, bits: float, tmp_path: Path
) -> None:
    from gguf import GGUFReader

    config = decode.config_of(decode.DECODE_SIZES["1m"])
    path = tmp_path / "model.gguf"
    write_random_gguf(decode.random_model(config), config, path, kind)
    reader = GGUFReader(path)
    assert reader.fields["llama.block_count"].contents() == config.num_layers
    assert reader.fields["llama.context_length"].contents() == CONTEXT
    matrices = [t for t in reader.tensors if len(t.shape) > 1 and "token_embd" not in t.name]
    assert len(matrices) == 7 * config.num_layers
    assert {8 * t.n_bytes / t.n_elements for t in matrices} == {bits}


def test_threads_that_are_asked_for_are_llama_cpps_for_prompts_too(tmp_path: Path) -> None:
    library = MagicMock()
    library.llama_context_default_params.side_effect = SimpleNamespace
    for threads in (1, 3):
        llama = _LlamaCpp(library, tmp_path / "model.gguf", threads)
        wish = library.llama_init_from_model.call_args.args[1]
        assert (llama.threads, wish.n_threads, wish.n_threads_batch) == (threads,) * 3


def test_llama_cpp_is_measured_beside() -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    (size,) = bench_decode(SHORT._replace(peers=["llama.cpp"]))["sizes"]
    theirs = [row for row in size["contenders"] if row["name"].startswith("llama.cpp")]
    assert [row["name"][10:] for row in theirs] == ["f16", "q8_0", "q4_0"]
    assert all(min(row["tokens_per_second"].values()) > 0 for row in theirs)
