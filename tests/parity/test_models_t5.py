"""Our encoder-decoder against T5 of `transformers`: what is read, and scores of what is written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.core import ConfigError, DataError, SamplingSettings
from homespun.inference import write_texts
from homespun.models import load_t5

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "d_model": 32,
    "d_kv": 12,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
CASES = {
    "t5": SMALL,
    "t5 1.1": SMALL | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "mt5": SMALL | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}


def folder_of(settings: dict[str, Any], where: Path, kind: str = "T5") -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**settings)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()
    for name, parameter in model.named_parameters():
        if "relative_attention_bias" in name:
            torch.nn.init.normal_(parameter, 0.0, 0.5)
    model.save_pretrained(where)
    return model


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_and_written_is_t5s(case: str, tmp_path: Path) -> None:
    theirs = folder_of(CASES[case], tmp_path, "MT5" if case == "mt5" else "T5")
    ours = load_t5(tmp_path)
    draw = torch.Generator().manual_seed(1)
    ids_BS = torch.randint(61, (3, 41), generator=draw)  # distances beyond the last bucket
    written_BT = torch.randint(61, (3, 30), generator=draw)
    is_token_BS = torch.ones_like(ids_BS, dtype=torch.bool)
    is_token_BS[1, 9:] = False
    with torch.inference_mode():
        want = theirs(ids_BS, attention_mask=is_token_BS.long(), decoder_input_ids=written_BT)
        memory_BSD = ours.encode(ids_BS, is_token_BS)
        got = ours.head(ours.decode(written_BT, ours.remember(memory_BSD, is_token_BS)))
    torch.testing.assert_close(
        memory_BSD[is_token_BS],
        want.encoder_last_hidden_state[is_token_BS],
        atol=1e-5,
        rtol=1e-5,
    )
    torch.testing.assert_close(got, want.logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_is_t5s(beams: int, tmp_path: Path) -> None:
    theirs = folder_of(SMALL | {"initializer_factor": 3.0}, tmp_path)
    ours = load_t5(tmp_path)
    draw = torch.Generator().manual_seed(1)
    is_token_BS = torch.ones(6, 15, dtype=torch.bool)
    is_token_BS[1, 9:] = is_token_BS[4, 3:] = False
    ids_BS = torch.randint(2, 61, (6, 15), generator=draw) * is_token_BS
    with torch.inference_mode():
        want = theirs.generate(
            ids_BS,
            attention_mask=is_token_BS.long(),
            num_beams=beams,
            max_new_tokens=10,
            do_sample=False,
            length_penalty=1.0,
        )
    sources = [row[mask].tolist() for row, mask in zip(ids_BS, is_token_BS, strict=True)]
    settings = SamplingSettings(max_tokens=10, beams=beams if beams > 1 else 0)
    found = write_texts(ours, sources, settings, start_id=0, end_id=1)
    for beam, row in zip(found, want.tolist(), strict=True):
        ids = row[1:]
        if 1 in ids:
            ids = ids[: ids.index(1)]
        assert list(beam[0].ids) == ids


def test_a_head_of_its_own_is_taken_where_the_file_has_one(tmp_path: Path) -> None:
    folder_of(CASES["t5 1.1"], tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    head_VD = torch.randn(61, 32, generator=torch.Generator().manual_seed(2))
    save_file({**weights, "lm_head.weight": head_VD}, path)
    ours = load_t5(tmp_path)
    hidden_ND = torch.randn(5, 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours.head(hidden_ND), hidden_ND @ head_VD.T)


def test_the_table_is_found_under_either_of_its_names(tmp_path: Path) -> None:
    folder_of(SMALL, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    table_VD = weights.pop("shared.weight")
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        save_file({**weights, name: table_VD}, path)
        assert torch.equal(load_t5(tmp_path).head_weight, table_VD)


def test_what_is_no_t5_is_refused(tmp_path: Path) -> None:
    folder_of(SMALL, tmp_path)
    path = tmp_path / "config.json"
    plain = path.read_text()
    path.write_text(plain.replace('"model_type": "t5"', '"model_type": "bart"'))
    with pytest.raises(ConfigError, match="not of a T5"):
        load_t5(tmp_path)
    path.write_text(plain.replace('"feed_forward_proj": "relu"', '"feed_forward_proj": "silu"'))
    with pytest.raises(ConfigError, match="feed-forward"):
        load_t5(tmp_path)
    path.write_text(plain.replace('"num_layers": 3', '"num_layers": 4'))
    with pytest.raises(DataError, match=r"block\.3"):
        load_t5(tmp_path)
