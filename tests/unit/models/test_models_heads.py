"""Heads on encoders: CRF against sums over all paths, padding that changes nothing, losses."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from homespun.models import EncoderConfig
from homespun.models.heads import (
    Classifier,
    CrfLayer,
    Reader,
    SpanReader,
    WordTagger,
    log_norm_obvious,
)
from homespun.models.heads.crf import FORBIDDEN
from homespun.models.heads.span import best_span, best_span_obvious
from homespun.models.heads.tagger import words_of
from homespun.models.heads.text_cnn import TextCnn
from homespun.models.recurrent import ReaderConfig

SHAPE = EncoderConfig(
    vocab_size=30, num_layers=2, width=16, num_heads=2, mlp_width=24, context=20, norm_eps=1e-6
)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def readers() -> list[Reader]:
    lstm = ReaderConfig(vocab_size=30, num_layers=2, width=16)
    return [SHAPE.build(draw()), lstm.build(draw())]


@pytest.fixture(params=[0, 1], ids=["encoder", "lstm"])
def reader(request: pytest.FixtureRequest) -> Reader:
    return readers()[request.param].eval()


def batch(extra: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two rows of 5 and 3 tokens, filled up by `extra` more places."""
    ids_BT = torch.tensor([[4, 5, 6, 7, 8], [9, 10, 11, 0, 0]])
    is_token_BT = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    ids_BT, is_token_BT = F.pad(ids_BT, (0, extra)), F.pad(is_token_BT, (0, extra))
    return ids_BT, is_token_BT, torch.zeros_like(ids_BT)


def shaken(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=draw(7))


def test_filling_up_changes_no_score(reader: Reader) -> None:
    for head in (
        Classifier(reader, 3, pooling="both"),
        Classifier(reader, 3, pooling="first"),
        WordTagger(reader, 4, crf=None),
    ):
        begun(head)
        short, long = head(*batch()), head(*batch(extra=6))
        if isinstance(head, WordTagger):
            short, long = short[0], long[0, :5]
        torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


def test_text_cnn_does_not_see_what_fills_up() -> None:
    model = TextCnn(30, 3, width=8, num_filters=6)
    model.begin(draw())
    shaken(model)
    model.eval()
    torch.testing.assert_close(model(*batch()), model(*batch(extra=9)), rtol=1e-4, atol=1e-5)
    # The obvious way: each filter at each place where part of it lies in the text.
    ids = batch()[0][1, :3]
    vectors = F.pad(model.embedding.weight[ids], (0, 0, 4, 4))
    pooled = []
    for size, layer in zip(model.widths, model.filters, strict=True):
        found = [
            F.relu(layer(vectors[at : at + size].flatten())) for at in range(4 - size + 1, 4 + 3)
        ]
        pooled.append(torch.stack(found).amax(0))
    torch.testing.assert_close(
        model(*batch())[1], model.out(torch.cat(pooled)), rtol=1e-4, atol=1e-5
    )


def test_a_classifiers_losses_are_their_formulas() -> None:
    scores = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 0.0]])
    one = Classifier(SHAPE.build(draw()), 3)
    wanted = -scores.log_softmax(-1)[0, 1] - scores.log_softmax(-1)[1, 0]
    torch.testing.assert_close(one.loss_sum(scores, torch.tensor([1, 0])), wanted)
    many = Classifier(SHAPE.build(draw()), 3, kind="many")
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    p = scores.sigmoid()
    nats = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean(1).sum()
    torch.testing.assert_close(many.loss_sum(scores, targets), nats)
    number = Classifier(SHAPE.build(draw()), 1, kind="number")
    torch.testing.assert_close(
        number.loss_sum(torch.tensor([[2.0], [1.0]]), torch.tensor([1.0, 4.0])), torch.tensor(5.0)
    )


def test_all_that_is_not_the_encoders_is_a_head() -> None:
    encoder = SHAPE.build(draw())
    assert encoder.head is not None
    kinds = Classifier(encoder, 3).parameter_kinds()
    assert kinds["out.weight"] == kinds["dense.bias"] == "head"
    assert kinds["encoder.blocks.0.attention.query.weight"] == "matrix"
    assert not any("encoder.head" in name for name in kinds)


def begun(head: torch.nn.Module) -> None:
    """With weights of which none is zero, in evaluation mode."""
    if isinstance(head, Classifier):
        head.begin(draw())
    elif isinstance(head, WordTagger | SpanReader):
        head.begin()
    shaken(head)
    head.eval()


def crf(masked: bool) -> CrfLayer:
    layer = CrfLayer(3)
    if masked:
        allowed = torch.tensor([[True, True, False], [False, True, True], [True, True, True]])
        layer = CrfLayer(3, allowed, torch.tensor([True, False, True]), torch.tensor([True] * 3))
    shaken(layer)
    return layer


@pytest.mark.parametrize("masked", [False, True])
def test_a_crf_is_the_sum_over_all_paths(masked: bool) -> None:
    layer = crf(masked)
    scores_BTC = torch.randn(2, 4, 3, generator=draw(3))
    is_real_BT = torch.tensor([[True] * 4, [True, True, False, False]])
    wanted = torch.stack(
        [log_norm_obvious(layer, scores_BTC[0]), log_norm_obvious(layer, scores_BTC[1, :2])]
    )
    torch.testing.assert_close(layer.log_norm(scores_BTC, is_real_BT), wanted, rtol=1e-5, atol=1e-5)
    tags_BT = torch.tensor([[0, 1, 2, 0], [2, 1, -100, -100]])
    loss = layer.loss_sum(scores_BTC, tags_BT, is_real_BT)
    paths = layer.path_score(scores_BTC, tags_BT, is_real_BT)
    torch.testing.assert_close(loss, (wanted - paths).sum(), rtol=1e-5, atol=1e-5)
    assert loss > 0


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
def test_viterbi_finds_the_best_of_all_paths(masked: bool) -> None:
    layer = crf(masked)
    scores_BTC = torch.randn(2, 4, 3, generator=draw(5))
    is_real_BT = torch.tensor([[True] * 4, [True, True, True, False]])
    begin_C, after_CC, end_C = layer._masked()
    for row, found in enumerate(layer.best(scores_BTC, is_real_BT)):
        length = int(is_real_BT[row].sum())
        best = max(
            itertools.product(range(3), repeat=length),
            key=lambda path: float(
                begin_C[path[0]]
                + end_C[path[-1]]
                + sum(scores_BTC[row, t, tag] for t, tag in enumerate(path))
                + sum(after_CC[a, b] for a, b in itertools.pairwise(path))
            ),
        )
        assert found == list(best)


def test_words_are_their_first_tokens() -> None:
    values = torch.arange(10.0).view(1, 5, 2)
    asked = torch.tensor([[False, True, False, True, False]])
    words, real = words_of(values, asked)
    assert words.tolist() == [[[2.0, 3.0], [6.0, 7.0]]]
    assert real.tolist() == [[True, True]]


def test_a_taggers_loss_counts_words_alone(reader: Reader) -> None:
    for layer in (None, crf(masked=False)):
        head = WordTagger(reader, 3, crf=layer)
        begun(head)
        scores_BTC = head(*batch())
        targets_BT = torch.full((2, 5), -100)
        targets_BT[0, 1], targets_BT[0, 3], targets_BT[1, 0] = 2, 0, 1
        other = scores_BTC.clone()
        other[0, 2] += 5.0  # not the first token of a word
        torch.testing.assert_close(
            head.loss_sum(scores_BTC, targets_BT), head.loss_sum(other, targets_BT)
        )
        found = head.best(scores_BTC, targets_BT != -100)
        assert [len(row) for row in found] == [2, 1]
        empty = torch.full((2, 5), -100)
        assert head.loss_sum(scores_BTC, empty).item() == 0.0


def test_a_reader_of_places_points_into_the_passage_alone() -> None:
    model = SpanReader(SHAPE.build(draw()))
    begun(model)
    ids_BT = torch.tensor([[1, 5, 2, 7, 8, 9, 2]])
    types_BT = torch.tensor([[0, 0, 0, 1, 1, 1, 0]])
    scores_BT2 = model(ids_BT, torch.ones_like(ids_BT, dtype=torch.bool), types_BT)
    assert (scores_BT2[0, :, 0] > -1e3).tolist() == [True, False, False, True, True, True, False]
    uniform = torch.zeros(1, 4, 2)
    loss = model.loss_sum(uniform, torch.tensor([[1, 2]]))
    assert float(loss) == pytest.approx(math.log(4))


def test_the_best_place_ends_behind_its_beginning() -> None:
    one = torch.tensor([[9.0, 9.0], [1.0, 8.0], [5.0, 1.0], [0.0, 2.0]])
    assert best_span(one, 3) == (1, 1, 9.0)
    two = torch.tensor([[0.0, 0.0], [1.0, 2.0], [5.0, 1.0], [0.0, 4.0]])
    assert best_span(two, 3) == (2, 3, 9.0)
    assert best_span(two, 1) == (2, 2, 6.0)
    assert best_span(two[:1], 3)[2] == float("-inf")
    noise = torch.Generator().manual_seed(3)
    for _ in range(30):
        scores = torch.randint(-4, 5, (12, 2), generator=noise).float()
        scores[torch.rand(12, generator=noise) < 0.3] = FORBIDDEN
        for longest in (1, 3, 20):
            assert best_span(scores, longest) == best_span_obvious(scores, longest)


def test_lstms_from_both_ends_are_torchs_own() -> None:
    config = ReaderConfig(vocab_size=30, num_layers=1, width=16)
    ours = config.build(draw()).eval()
    theirs = torch.nn.LSTM(16, 8, batch_first=True, bidirectional=True)
    ahead, back = ours.layers
    with torch.no_grad():
        for name, parameter in ahead.named_parameters():
            getattr(theirs, name).copy_(parameter)
        for name, parameter in back.named_parameters():
            getattr(theirs, f"{name}_reverse").copy_(parameter)
    ids_BT, is_token_BT, _ = batch()
    found = ours(ids_BT, is_token_BT=is_token_BT)
    for row, length in enumerate((5, 3)):
        wanted, _ = theirs(ours.embedding(ids_BT[row : row + 1, :length]))
        torch.testing.assert_close(found[row, :length], wanted[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_in_bfloat16_learns_what_torchs_own_does(with_bias: bool) -> None:
    from homespun.models.attention import attend_all

    noise = torch.Generator().manual_seed(0)
    made = [torch.randn(2, 3, 9, 8, generator=noise) for _ in range(3)]
    bias = None
    if with_bias:
        bias = torch.zeros(2, 1, 9)
        bias[1, :, 6:] = float("-inf")
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        parts = [part.detach().clone().to(dtype).requires_grad_() for part in made]
        out = attend_all(*parts, None if bias is None else bias.to(dtype))
        out.float().square().sum().backward()
        found.append([out.detach().float(), *(part.grad.float() for part in parts)])  # type: ignore[union-attr]
    for exact, rounded in zip(*found, strict=True):
        torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.03)


def test_dropout_leaves_out_its_share_by_torchs_generator() -> None:
    from homespun.models.extras.dropout import dropped

    x = torch.ones(200, 500, requires_grad=True)
    torch.manual_seed(3)
    found = dropped(x, 0.25)
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.005)
    assert float(found.detach().mean()) == pytest.approx(1.0, abs=0.01)
    found.sum().backward()
    assert torch.equal(x.grad == 0, found == 0)  # type: ignore[operator]
    torch.manual_seed(3)
    assert torch.equal(dropped(x, 0.25), found)
    assert not torch.equal(dropped(x, 0.25), found)
    assert dropped(x, 0.0) is x
