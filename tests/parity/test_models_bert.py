"""Our encoder against BERT of `transformers`: hidden states, and the scores of masked words."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.core import ConfigError, DataError
from homespun.models import EncoderConfig, load_bert, load_weights, read_encoder, write_encoder

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
CASES = {
    "plain": SMALL,
    "tanh, one type, other eps": SMALL
    | {"hidden_act": "gelu_new", "type_vocab_size": 1, "layer_norm_eps": 1e-5},
}


def folder_of(kind: str, settings: dict[str, Any], where: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(**settings)
    model = getattr(transformers, kind)(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # they begin with zeros
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    model.save_pretrained(where)
    return model


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_are_berts(case: str, tmp_path: Path) -> None:
    theirs = folder_of("BertModel", CASES[case], tmp_path)
    ours = load_bert(tmp_path)
    assert ours.head is None
    ids_BT = torch.randint(61, (3, 17), generator=torch.Generator().manual_seed(1))
    is_token_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    is_token_BT[1, 9:] = False
    types_BT = torch.zeros_like(ids_BT)
    if ours.types is not None and ours.types.vocab_size > 1:
        types_BT[:, 6:] = 1
    with torch.inference_mode():
        want = theirs(ids_BT, attention_mask=is_token_BT.long(), token_type_ids=types_BT)
        got_BTD = ours(ids_BT, is_token_BT=is_token_BT, types_BT=types_BT)
        plain_BTD = ours(ids_BT[:1])
        want_plain_BTD = theirs(ids_BT[:1]).last_hidden_state
    torch.testing.assert_close(
        got_BTD[is_token_BT], want.last_hidden_state[is_token_BT], atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(plain_BTD, want_plain_BTD, atol=1e-5, rtol=1e-5)


def test_scores_and_losses_of_masked_words_are_berts(tmp_path: Path) -> None:
    theirs = folder_of("BertForMaskedLM", SMALL, tmp_path)
    ours = load_bert(tmp_path)
    ids_BT = torch.randint(61, (2, 12), generator=torch.Generator().manual_seed(1))
    targets_BT = torch.full_like(ids_BT, -100)
    targets_BT[0, 3], targets_BT[1, 7], targets_BT[1, 11] = 5, 60, 0
    with torch.inference_mode():
        want = theirs(ids_BT, labels=targets_BT)
        hidden_BTD = ours(ids_BT)
        torch.testing.assert_close(ours.scores(hidden_BTD), want.logits, atol=1e-5, rtol=1e-5)
        loss = ours.masked_loss(hidden_BTD, targets_BT) / 3
    torch.testing.assert_close(loss, want.loss, atol=1e-5, rtol=1e-5)


def test_a_head_with_a_matrix_of_its_own_is_left_off(tmp_path: Path) -> None:
    folder_of("BertForMaskedLM", SMALL, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    table_VD = weights["bert.embeddings.word_embeddings.weight"]
    for matrix_VD, has_head in ((table_VD.clone(), True), (table_VD.flip(0), False)):
        more = {"cls.predictions.decoder.weight": matrix_VD.contiguous()}
        save_file({**weights, **more}, path, metadata={"format": "pt"})
        assert (load_bert(tmp_path).head is not None) == has_head


def test_what_is_no_bert_is_refused(tmp_path: Path) -> None:
    folder_of("BertModel", SMALL, tmp_path)
    path = tmp_path / "config.json"
    plain = path.read_text()
    for wrong, message in (
        ('"model_type": "electra"', "not of a BERT"),
        ('"model_type": "bert", "position_embedding_type": "relative_key"', "position_embedding"),
        ('"model_type": "bert", "is_decoder": true', "is_decoder"),
    ):
        path.write_text(
            plain.replace('"is_decoder": false,', "").replace('"model_type": "bert"', wrong)
        )
        with pytest.raises(ConfigError, match=message):
            load_bert(tmp_path)
    path.write_text(plain.replace('"num_hidden_layers": 3', '"num_hidden_layers": 4'))
    with pytest.raises(DataError, match=r"layer\.3"):
        load_bert(tmp_path)


@pytest.mark.parametrize("masked_head", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_transformers_reads_what_we_write(
    masked_head: bool, activation: Any, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    shape = EncoderConfig(
        vocab_size=61,
        num_layers=2,
        width=32,
        num_heads=4,
        mlp_width=48,
        context=40,
        activation=activation,
        masked_head=masked_head,
    )
    ours = shape.build(torch.Generator().manual_seed(2)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    write_encoder(tmp_path, ours, shape)
    kind = transformers.BertForMaskedLM if masked_head else transformers.BertModel
    theirs, told = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["unexpected_keys"]
    assert not [name for name in told["missing_keys"] if "pooler" not in name]
    ids_BT = torch.randint(61, (2, 12), generator=generator)
    with torch.inference_mode():
        hidden_BTD = ours(ids_BT)
        found = theirs.eval()(ids_BT)
        want, got = (
            (found.logits, ours.scores(hidden_BTD))
            if masked_head
            else (found.last_hidden_state, hidden_BTD)
        )
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [{}, {"positions": "rotary", "norm_first": True}])
def test_an_encoder_comes_back_as_it_was(change: dict[str, Any], tmp_path: Path) -> None:
    shape = EncoderConfig(
        vocab_size=61, num_layers=2, width=32, num_heads=4, mlp_width=48, context=40, **change
    )
    ours = shape.build(torch.Generator().manual_seed(2)).eval()
    write_encoder(tmp_path, ours, shape)
    config, weights = read_encoder(tmp_path)
    assert config == shape
    again = config.empty().eval()
    load_weights(again, weights, where="here")
    ids_BT = torch.arange(24).reshape(2, 12)
    with torch.inference_mode():
        assert torch.equal(again(ids_BT), ours(ids_BT))
