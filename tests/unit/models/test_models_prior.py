"""The n-gram table beside a decoder: the fast table, its loss, and the decoder that has one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from homespun.classic import KneserNey, count_left_out
from homespun.core import CheckpointError, HomespunError, TextBlocks
from homespun.models import DecoderConfig, NgramPrior, OrderTable, export_hf
from homespun.models.cross_entropy import (
    CHUNK,
    Known,
    cross_entropy_from_hidden,
    cross_entropy_obvious,
)
from homespun.models.prior import TableRows, places_from_numbers, places_to_numbers

V, END = 7, 6


def documents(seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, END, size) for size in (40, 3, 90, 1)]


def orders(table: KneserNey) -> list[OrderTable]:
    return [OrderTable.of(*arrays) for arrays in table.tables()]


def fitted(seed: int, order: int = 4) -> KneserNey:
    return KneserNey(order=order, vocab_size=V, end_of_text_id=END).fit(documents(seed))


def test_every_column_has_the_table_s_own_distribution():
    table = fitted(0)
    ids_BT = torch.from_numpy(np.random.default_rng(5).integers(0, END, (3, 12)))
    ids_BT[:, 0] = END
    log_p = NgramPrior(V, orders(table)).log_probs(ids_BT, last=12)
    assert log_p.exp().sum(-1) == pytest.approx(torch.ones(3, 12), abs=1e-5)
    for row in range(3):
        for column in range(12):
            history = ids_BT[row, 1 : column + 1].tolist()
            assert log_p[row, column].exp().numpy() == pytest.approx(
                table.next_probabilities(history), abs=1e-6
            )


def test_the_last_columns_are_those_of_the_whole_and_words_can_be_left_out():
    prior = NgramPrior(V, orders(fitted(0)), num_words=5)
    ids_BT = torch.from_numpy(np.random.default_rng(6).integers(0, V, (2, 9)))
    whole = prior.log_probs(ids_BT, last=9)
    assert whole.shape == (2, 9, 5)
    assert torch.equal(prior.log_probs(ids_BT, last=2), whole[:, -2:])


def blocked(*, order: int = 4, num_words: int | None = None) -> NgramPrior:
    """Of a text of three blocks."""
    stream = np.concatenate([np.append(END, d) for d in documents(1)])
    blocks = TextBlocks(stream, end_of_text_id=END, num_blocks=3)
    counted = count_left_out(stream, order=order, vocab_size=V, end_of_text_id=END, blocks=blocks)
    return NgramPrior(V, [OrderTable.of(*own) for own in counted], num_words=num_words)


def test_each_row_is_read_with_the_probabilities_of_its_own_block():
    prior = blocked()
    ids_BT = torch.from_numpy(np.random.default_rng(7).integers(0, V, (4, 10)))
    got = prior.log_probs(
        ids_BT, last=10, blocks_BT=torch.tensor([1, 0, 1, 2])[:, None].expand(4, 10)
    )
    for row, block in enumerate((1, 0, 1, 2)):
        own = [
            OrderTable(o.keys_M, o.mass_XM[block : block + 1], o.backoff_XP[block : block + 1])
            for o in prior.orders
        ]
        alone = NgramPrior(V, own).log_probs(ids_BT[row : row + 1], last=10)
        assert torch.equal(got[row], alone[0])
    assert not torch.equal(got[1], prior.log_probs(ids_BT, last=10)[1])


def test_tensors_bring_it_back_with_and_without_its_blocks():
    prior = blocked(num_words=5)
    ids_BT = torch.from_numpy(np.random.default_rng(7).integers(0, V, (2, 10)))
    tensors = prior.tensors()
    again = NgramPrior.from_tensors(tensors, where="a file")
    blocks_BT = torch.tensor([2, 0])[:, None].expand(2, 10)
    assert again.num_blocks == 3
    for mine, theirs in ((again, prior), (prior.whole(), prior)):
        assert torch.equal(mine.log_probs(ids_BT, last=9), theirs.log_probs(ids_BT, last=9))
    assert torch.equal(
        again.log_probs(ids_BT, last=9, blocks_BT=blocks_BT),
        prior.log_probs(ids_BT, last=9, blocks_BT=blocks_BT),
    )
    part = {name: t for name, t in tensors.items() if not name.startswith("blocks.")}
    alone = NgramPrior.from_tensors(part, where="a file")
    assert alone.num_blocks == 0
    assert alone.num_words == 5
    assert alone.num_ngrams == prior.num_ngrams > V
    assert alone.num_bytes() < prior.num_bytes()
    assert torch.equal(alone.log_probs(ids_BT, last=9), prior.log_probs(ids_BT, last=9))


@pytest.mark.parametrize("damage", ["sizes", "2.keys", "3.mass", "cut"])
def test_a_damaged_file_is_said_to_be_one(damage):
    tensors = blocked().tensors()
    if damage == "cut":
        tensors["2.mass"] = tensors["2.mass"][:-1]
    else:
        del tensors[damage]
    with pytest.raises(CheckpointError, match="a file is not a whole n-gram table"):
        NgramPrior.from_tensors(tensors, where="a file")


def test_histories_end_where_a_text_of_its_own_begins():
    prior = NgramPrior(V, orders(fitted(0)))
    first, second = torch.tensor([[1, 2, 3]]), torch.tensor([[3, 1, 0, 2]])
    packed = prior.log_probs(
        torch.cat((first, second), 1), last=4, positions_BT=torch.tensor([[0, 1, 2, 0, 1, 2, 3]])
    )
    assert torch.equal(packed, prior.log_probs(second, last=4))


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_the_loss_and_its_gradients_are_those_of_the_slow_version(softcap):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(700, 8, generator=generator)
    weight = torch.randn(V, 8, generator=generator)
    strength = torch.rand(700, generator=generator)
    prior = torch.log_softmax(torch.randn(700, V, generator=generator), -1)
    targets = torch.randint(V, (700,), generator=generator)
    targets[::9] = -100
    results = []
    for function in (cross_entropy_from_hidden, cross_entropy_obvious):
        inputs = [t.clone().requires_grad_() for t in (hidden, weight, strength)]
        known = Known(prior, inputs[2])
        loss = function(*inputs[:2], targets, softcap=softcap, known=known)
        (2.0 * loss).backward()
        results.append([loss.detach(), *(t.grad for t in inputs)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ignored", [0, 9])
def test_rows_looked_up_chunk_by_chunk_give_the_same_bits(ignored):
    prior = blocked()
    ids_BT = torch.from_numpy(np.random.default_rng(7).integers(0, V, (7, 10)))
    blocks_BT = torch.arange(70).view(7, 10) % 3
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(size, generator=generator) for size in ((70, 8), (V, 8), (70,))]
    targets = torch.randint(V, (70,), generator=generator)
    targets[:ignored] = -100
    places = prior.places(ids_BT, last=10, blocks_BT=blocks_BT).flatten(0, 1)
    whole = prior.log_probs(ids_BT, last=10, blocks_BT=blocks_BT).flatten(0, 1)
    results = []
    for rows in (TableRows(prior, places), whole):
        own = [t.clone().requires_grad_() for t in inputs]
        loss = cross_entropy_from_hidden(*own[:2], targets, known=Known(rows, own[2]), chunk=16)
        loss.backward()
        results.append([loss.detach(), *(t.grad for t in own)])
    for looked_up, all_at_once in zip(*results, strict=True):
        assert torch.equal(looked_up, all_at_once)


def model(**changes: object) -> DecoderConfig:
    fields = {
        "vocab_size": V, "num_layers": 2, "width": 16, "num_heads": 2, "num_kv_heads": 2,
        "head_width": 8, "mlp_width": 32, "context": 16, "ngram_prior": True, **changes,
    }  # fmt: skip
    return DecoderConfig(**fields)


def test_a_new_model_with_an_empty_head_is_the_table_itself():
    table = fitted(0)
    decoder = model(tied=False, head_std=0.0).build(torch.Generator().manual_seed(0))
    decoder.attach_prior(NgramPrior(V, orders(table)))
    ids = documents(9)[0][:12]
    stream = torch.from_numpy(np.concatenate([[END], ids]))[None]
    loss = decoder.next_token_loss(decoder(stream[:, :-1]), stream[:, 1:]).detach()
    assert float(loss) == pytest.approx(float(table.token_nats(ids)[:-1].sum()), rel=1e-5)


def test_loss_and_head_agree_and_strength_is_learned():
    decoder = model().build(torch.Generator().manual_seed(0))
    decoder.attach_prior(blocked())
    ids = torch.from_numpy(np.random.default_rng(3).integers(0, V, (2, 9)))
    hidden = decoder(ids[:, :-1], blocks_BT=torch.tensor([[0] * 8, [1] * 8]))
    loss = decoder.next_token_loss(hidden, ids[:, 1:])
    logits = decoder.head(hidden)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"
    )
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in decoder.prior_strength.parameters())
    assert float(decoder.prior_strength.base.grad.abs()) > 0


def test_such_a_model_is_not_exported(tmp_path):
    decoder = model().build(torch.Generator().manual_seed(0))
    with pytest.raises(HomespunError, match="n-gram table"):
        export_hf(decoder, model(), [], tmp_path / "out", end_of_text_id=END)


def test_places_in_the_largest_tables_travel_as_numbers():
    places = torch.tensor([[-1, 0, 5, 2**22 - 1, 2**22, 2**40 + 12345]])
    numbers = places_to_numbers(places)
    assert numbers.dtype == torch.float32
    assert torch.equal(places_from_numbers(numbers), places)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made within."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.size = max(self.size, tensor.untyped_storage().nbytes() // 4)
        return made


@pytest.mark.parametrize("beside", [True, False], ids=["beside", "teacher"])
def test_what_the_table_says_of_a_batch_is_never_in_memory_at_once(beside):
    words, rows, context = 400, 48, 64
    stream = np.random.default_rng(0).integers(0, words, 500)
    counted = count_left_out(
        stream,
        order=3,
        vocab_size=words,
        end_of_text_id=0,
        blocks=TextBlocks(stream, end_of_text_id=0, num_blocks=2),
    )
    prior = NgramPrior(words, [OrderTable.of(*own) for own in counted])
    config = model(vocab_size=words, context=context, mlp_width=16, ngram_prior=beside)
    decoder = config.build(torch.Generator().manual_seed(0))
    if beside:
        decoder.attach_prior(prior)
    ids = torch.randint(words, (rows, context), generator=torch.Generator().manual_seed(1))
    targets = ids.roll(-1, 1)
    targets[:, ::7] = -100
    with Largest() as seen:
        blocks = torch.zeros_like(ids)
        if beside:
            loss = decoder.next_token_loss(decoder(ids, blocks_BT=blocks), targets)
        else:
            told = prior.told(ids, blocks_BT=blocks)
            loss = decoder.taught_loss(decoder(ids), targets, told, share=0.5)
        loss.backward()
    # Attention's scores, of all rows at once, are larger than a chunk of the words'.
    most = max(CHUNK * words, rows * 2 * context * context)
    assert CHUNK * words <= seen.size <= most < ids.numel() * words / 3
