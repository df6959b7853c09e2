import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import DataError
from homespun.evaluation import quick_validation, score_documents, score_model
from homespun.evaluation.bits_per_byte import (
    cut_windows,
    evaluating,
    score_sequences,
)
from homespun.evaluation.bits_per_byte_reference import score_model_obvious
from homespun.evaluation.pieces import cut_documents
from homespun.models import decoder_shape

SHORT = ["hello", "", "好的。", "a\nb", "fifteen letters"]
LONG = ["The quick brown fox jumps over the lazy dog.", "short", "天地玄黄，宇宙洪荒。日月盈昃"]


def test_short_documents_agree_with_one_token_at_a_time(tiny_decoder, byte_tokenizer) -> None:
    fast = score_model(tiny_decoder, byte_tokenizer, SHORT)
    slow = score_model_obvious(tiny_decoder, byte_tokenizer, SHORT)
    assert fast.nats == pytest.approx(slow.nats, rel=1e-5)
    assert fast[1:] == slow[1:]


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_long_documents_agree_at_a_stride_of_one(
    tiny_decoder, byte_tokenizer, batch_tokens
) -> None:
    fast = score_model(tiny_decoder, byte_tokenizer, LONG, stride=1, batch_tokens=batch_tokens)
    slow = score_model_obvious(tiny_decoder, byte_tokenizer, LONG)
    assert fast.nats == pytest.approx(slow.nats, rel=1e-5)
    assert fast[1:] == slow[1:]


@pytest.mark.parametrize("preset", ["portable", "fast"])
def test_every_preset_is_scored_by_the_probabilities_it_was_trained_on(
    preset, byte_tokenizer
) -> None:
    changes = {"softcap": 2.0} if preset == "fast" else {}
    config = decoder_shape(
        width=16,
        num_layers=2,
        vocab_size=byte_tokenizer.vocab_size,
        context=16,
        preset=preset,
        changes=changes,
    )
    model = config.build(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.full_like(parameter, 0.01).cumsum(0).sin_(), alpha=0.5)
    fast = score_model(model, byte_tokenizer, LONG, stride=1)
    slow = score_model_obvious(model, byte_tokenizer, LONG)
    assert fast.nats == pytest.approx(slow.nats, rel=1e-5)
    tokens = np.random.default_rng(0).integers(0, 200, size=33)
    ids = torch.from_numpy(tokens)
    with torch.no_grad():
        hidden = model(ids[:-1].view(2, 16))
        trained_on = model.next_token_loss(hidden, ids[1:].view(2, 16)) / 32
        if preset == "fast":
            assert float(model.head(hidden).abs().max()) < 2.0
    checked = quick_validation(model, tokens, context=16, max_tokens=100)
    assert checked == pytest.approx(float(trained_on), rel=1e-5)
    with evaluating(model):
        nats = score_sequences(model, [tokens[:17], tokens[16:]], context=16)
    assert checked == pytest.approx(float(nats.sum()) / 32, rel=1e-5)


def test_the_end_mark_is_predicted_and_the_bytes_are_the_texts_own(
    tiny_decoder, byte_tokenizer
) -> None:
    score = score_model(tiny_decoder, byte_tokenizer, ["好"])
    assert score.num_bytes == 3
    assert score.num_tokens == 4
    empty = score_model(tiny_decoder, byte_tokenizer, [""])
    assert empty.num_tokens == 1
    assert empty.nats > 0


def test_windows_come_to_what_their_documents_do(tiny_decoder, byte_tokenizer) -> None:
    texts = ["", "好" * 40, "the cat sat on the mat and so did the dog " * 3]
    plain = score_documents(tiny_decoder, byte_tokenizer, texts)
    scores = score_documents(tiny_decoder, byte_tokenizer, texts, by_window=True)
    assert plain.windows is None
    assert scores.windows is not None
    assert np.array_equal(scores.nats, plain.nats)
    for number, one in enumerate(scores.windows):
        assert one.nats.sum() == pytest.approx(scores.nats[number])
        assert one.num_bytes.sum() == pytest.approx(scores.num_bytes[number])
    # Of bytes: a window of 16 inputs predicts 16, then each 12 more; the end mark has no byte.
    assert scores.windows[0].num_bytes.tolist() == [0]
    assert scores.windows[1].num_bytes.tolist()[:3] == [16, 12, 12]
    ids = byte_tokenizer.encode(texts[2])[:16]
    first = score_sequences(tiny_decoder, [np.array([byte_tokenizer.end_of_text_id, *ids])])
    assert scores.windows[2].nats[0] == pytest.approx(first[0], rel=1e-5)


def test_bytes_of_windows_are_shares_of_the_texts_own(tiny_decoder, byte_tokenizer) -> None:
    class Folding:
        """As a tokenizer that reads text in a form of its own, here of half the bytes."""

        def __getattr__(self, name: str) -> object:
            return getattr(byte_tokenizer, name)

        def encode_batch(self, texts: list[str]) -> object:
            return byte_tokenizer.encode_batch([text[::2] for text in texts])

    (one,) = score_documents(tiny_decoder, Folding(), ["ab" * 28], by_window=True).windows or ()
    assert one.num_bytes.tolist() == [32, 24, 0]


def test_a_smaller_context_gives_the_score_of_a_smaller_model(tiny_decoder, byte_tokenizer) -> None:
    text = "abcdefghijkl"
    ids = [byte_tokenizer.end_of_text_id, *map(int, byte_tokenizer.encode(text))]
    expected = score_sequences(tiny_decoder, [np.array(ids)], context=4, stride=4)
    by_hand = 0.0
    for start in range(0, len(ids) - 1, 4):
        # The last window reaches back to be full; only its new predictions count.
        stop = min(start + 4, len(ids) - 1)
        window = torch.tensor([ids[max(0, stop - 4) : stop]])
        with torch.no_grad():
            nats = -tiny_decoder.head(tiny_decoder(window))[0].log_softmax(-1)
        for place in range(start, stop):
            by_hand += float(nats[place - max(0, stop - 4), ids[place + 1]])
    assert expected[0] == pytest.approx(by_hand, rel=1e-5)


@settings(derandomize=True)
@given(num_inputs=st.integers(1, 200), context=st.integers(1, 40), share=st.floats(0.01, 1.0))
def test_windows_predict_everything_once_with_enough_history(num_inputs, context, share) -> None:
    stride = max(1, int(context * share))
    windows = cut_windows(num_inputs, context=context, stride=stride)
    counted = [place for w in windows for place in range(w.first, w.stop)]
    assert counted == list(range(num_inputs))
    for window in windows:
        assert 0 <= window.start <= window.first < window.stop
        assert window.stop - window.start <= context
        if window.start > 0:
            assert window.first - window.start >= context - stride


def test_a_stride_beyond_the_context_is_refused() -> None:
    with pytest.raises(DataError, match="stride"):
        cut_windows(10, context=4, stride=5)


def test_uncounted_ids_cost_nothing(tiny_decoder) -> None:
    ids = np.arange(1, 30)
    mask = np.zeros(29, dtype=bool)
    assert score_sequences(tiny_decoder, [ids], counted=[mask])[0] == 0.0
    parts = []
    for place in range(1, 29):
        mask = np.zeros(29, dtype=bool)
        mask[place] = True
        parts.append(score_sequences(tiny_decoder, [ids], counted=[mask])[0])
    whole = score_sequences(tiny_decoder, [ids])[0]
    assert sum(parts) == pytest.approx(whole, rel=1e-5)
    assert min(parts) > 0


def test_windows_of_a_long_context_in_which_nothing_counts_are_not_computed(tiny_decoder) -> None:
    ids = np.arange(1, 200)
    counts = np.arange(199) >= 197
    rows = []
    handle = tiny_decoder.register_forward_hook(lambda _, given, found: rows.append(len(given[0])))
    try:
        score_sequences(tiny_decoder, [ids], counted=[counts])
    finally:
        handle.remove()
    assert sum(rows) == 1  # of 17


def test_the_model_is_left_as_it_was(tiny_decoder, byte_tokenizer) -> None:
    tiny_decoder.train(True)
    tiny_decoder.set_compute_dtype(torch.bfloat16)
    try:
        score_model(tiny_decoder, byte_tokenizer, ["abc"])
        with pytest.raises(ZeroDivisionError), evaluating(tiny_decoder):
            _ = 1 / int(tiny_decoder.training)
        assert tiny_decoder.training
        assert tiny_decoder.compute_dtype == torch.bfloat16
    finally:
        tiny_decoder.set_compute_dtype(torch.float32)
        tiny_decoder.train(False)


def test_time_that_has_run_out_leaves_at_least_the_first_group(
    tiny_decoder, byte_tokenizer
) -> None:
    texts = ["x" * 100] * 20
    with evaluating(tiny_decoder):
        some = score_documents(
            tiny_decoder, byte_tokenizer, texts, batch_tokens=16, deadline=time.monotonic() - 1
        )
        all_of_them = score_documents(tiny_decoder, byte_tokenizer, texts, batch_tokens=16)
    assert 1 <= len(some.nats) < 20
    assert len(all_of_them.nats) == 20
    np.testing.assert_allclose(some.nats, all_of_them.nats[: len(some.nats)], rtol=1e-6)


def test_documents_are_cut_into_pieces_that_join_to_them() -> None:
    text = "line of text\n" * 50 + "x" * 400
    pieces = cut_documents([text, "short", ""], max_characters=100)
    assert "".join(pieces) == text + "short"
    assert max(map(len, pieces)) <= 100
    assert pieces[0].endswith("\n")
    assert pieces[-2:] == ["short", ""]


def test_quick_validation_reads_the_whole_of_a_short_split(tiny_decoder) -> None:
    tokens = np.random.default_rng(0).integers(0, 200, size=33).astype(np.uint16)
    loss = quick_validation(tiny_decoder, tokens, context=16, max_tokens=1000)
    with torch.no_grad():
        ids = torch.tensor(tokens[:-1].astype(np.int64)).view(2, 16)
        logits = tiny_decoder.head(tiny_decoder(ids))
        targets = torch.tensor(tokens[1:].astype(np.int64))
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_quick_validation_reads_the_same_part_of_a_long_split(tiny_decoder) -> None:
    tokens = np.random.default_rng(0).integers(0, 200, size=5000).astype(np.uint16)
    first = quick_validation(tiny_decoder, tokens, context=16, max_tokens=320)
    assert first == quick_validation(tiny_decoder, tokens, context=16, max_tokens=320)
    starts = np.linspace(0, 4999 - 16, 20).astype(int)
    windows = [tokens[start : start + 17] for start in starts]
    expected = np.mean(
        [quick_validation(tiny_decoder, w, context=16, max_tokens=16) for w in windows]
    )
    assert first == pytest.approx(expected, rel=1e-5)


def test_quick_validation_of_a_split_shorter_than_a_window(tiny_decoder) -> None:
    loss = quick_validation(tiny_decoder, np.array([1, 2, 3]), context=16, max_tokens=100)
    assert math.isfinite(loss)
    with pytest.raises(DataError, match="no tokens"):
        quick_validation(tiny_decoder, np.array([1]), context=16, max_tokens=100)
