"""RoBERTa of `transformers`: its tokens, hidden states and masked words, and a task on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.models import load_bert
from homespun.recipes.applications import Asked, learn_application
from homespun.recipes.applications.answer.task import Question
from homespun.recipes.applications.answer.windows import windows_of
from homespun.recipes.serve.vectors import makes_vectors
from homespun.tokenizer.pieces import PieceTokenizer

TEXTS = ["The old river, and the house.", "  we've 12 horses!", "他在河边写信 naïve 🦊", "x", ""]


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little one with random weights, as `transformers` writes it."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    trained = ByteLevelBPETokenizer()
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(TEXTS * 20, vocab_size=320, special_tokens=marks)
    folder.mkdir()
    trained.save_model(str(folder))
    fast = transformers.RobertaTokenizerFast(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt")
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=42, type_vocab_size=1, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, initializer_range=0.3, layer_norm_eps=1e-5,
    )  # fmt: skip
    model = transformers.RobertaForMaskedLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # they begin with zeros
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    model.save_pretrained(folder)
    return folder


def test_tokens_places_and_pairs_are_robertas(roberta: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(roberta)
    ours = PieceTokenizer.load(roberta)
    for text in TEXTS:
        want = theirs(text, return_offsets_mapping=True)
        got = ours.encode(text)
        assert got.ids == want.input_ids
        words = [-1 if word is None else word for word in want.word_ids()]
        assert got.words == words
        for (a, b), (c, d) in zip(got.offsets, want.offset_mapping, strict=True):
            assert (text[a:b], text[a:b]) == (text[c:d], text[c:d].strip())
    pair = ours.encode_pair(TEXTS[0], TEXTS[2])
    assert pair.ids == theirs(TEXTS[0], TEXTS[2]).input_ids
    short = ours.encode_pair(TEXTS[0], TEXTS[2], most=20)
    assert short.ids == theirs(TEXTS[0], TEXTS[2], truncation=True, max_length=20).input_ids
    words = ["The", "old", "rivers", "他"]
    split = transformers.AutoTokenizer.from_pretrained(roberta, add_prefix_space=True)
    want = split(words, is_split_into_words=True)
    got = ours.encode_words(words)
    assert got.ids == want.input_ids
    assert got.words == [-1 if word is None else word for word in want.word_ids()]
    for word, (start, stop) in zip(got.words, got.offsets, strict=True):
        assert word < 0 or 0 <= start <= stop <= len(words[word])
    spelt = "a </s> b <mask> <pad></s></s>c <unk>"
    assert ours.encode(spelt).ids == theirs(spelt, split_special_tokens=True).input_ids
    as_theirs = PieceTokenizer.load(roberta, reads_marks=True)
    assert as_theirs.encode(spelt).ids == theirs(spelt).input_ids
    # Our own files of it are read back the same.
    again = PieceTokenizer((roberta / "tokenizer.json").read_text("utf-8"))
    assert again.encode(TEXTS[2]) == ours.encode(TEXTS[2])


def test_hidden_states_and_masked_words_are_robertas(roberta: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.RobertaForMaskedLM.from_pretrained(roberta).eval()
    ours = load_bert(roberta)
    assert ours.context == 40  # 42, less the places before the first token
    ids_BT = torch.randint(5, 300, (3, 17), generator=torch.Generator().manual_seed(1))
    is_token_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    is_token_BT[1, 9:] = False
    ids_BT[1, 9:] = 1
    with torch.inference_mode():
        want = theirs(ids_BT, attention_mask=is_token_BT.long()).logits
        got = ours.scores(ours(ids_BT, is_token_BT=is_token_BT))
        # There is one type: which text a token is of changes nothing.
        same = ours(ids_BT, is_token_BT=is_token_BT, types_BT=torch.ones_like(ids_BT))
        torch.testing.assert_close(same, ours(ids_BT, is_token_BT=is_token_BT))
    torch.testing.assert_close(got[is_token_BT], want[is_token_BT], atol=1e-4, rtol=1e-4)


def test_a_question_and_a_passage_are_parted_by_two_marks(roberta: Path) -> None:
    tokenizer = PieceTokenizer.load(roberta)
    question = Question("the house?", "The old river, and the house.", ())
    (window,) = windows_of(question, tokenizer, most=40, num_types=1)
    assert window.ids == tokenizer.encode_pair(question.question, question.passage).ids


@pytest.mark.parametrize("task", ["classify", "tag", "pair"])
def test_tasks_begin_with_it(roberta: Path, tmp_path: Path, task: str) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(40):
        good = number % 2
        text = f"the {'old' if good else 'new'} river {number}"
        row = {
            "classify": {"text": text, "label": str(good)},
            "tag": {"tokens": text.split(), "tags": ["D", "A", "N", "C"]},
            "pair": {"first": text, "second": "the old river", "relation": str(good)},
        }[task]
        rows.append(row)
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows))
    asked = Asked(task, data, tmp_path / "out", base=roberta, options={"epochs": "1"})
    told = learn_application(asked._replace(judge_baselines=False))
    assert told["method"] == "encoder"
    assert makes_vectors(roberta)
