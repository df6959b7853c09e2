"""Models that write together: the mean of their probabilities, also token by token from one cache,
with what is known, and as a search writes with them."""

from __future__ import annotations

import pytest
import torch

from homespun.core import SamplingSettings
from homespun.inference.search.writing import GrowingCache, Weights, write_texts
from homespun.models import EncoderDecoder, EncoderDecoderConfig, Ensemble, KnownTokens, Trust

SOURCES = torch.tensor([[3, 4, 5, 1], [6, 7, 1, 0]])
IS_TOKEN = torch.tensor([[True] * 4, [True] * 3 + [False]])
WRITTEN = torch.tensor([[0, 8, 9], [0, 3, 5]])


def drawn(seed: int, *, width: int = 16, layers: int = 1, copying: bool = False) -> EncoderDecoder:
    shape = EncoderDecoderConfig(
        vocab_size=20, num_layers=1, num_writer_layers=layers, width=width, num_heads=2,
        head_width=8, mlp_width=16, context=16, norm_first=True, copying=copying,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    model = shape.build(generator).eval()
    for parameter in model.parameters():  # blocks begin at zero, and would say nothing
        if parameter.ndim > 1:
            parameter.data.normal_(0.0, 0.4, generator=generator)
    return model


MEMBERS = (drawn(0), drawn(1, width=24, layers=3), drawn(2, copying=True))


@torch.inference_mode()
def test_what_they_say_is_the_mean_of_their_probabilities() -> None:
    ensemble = Ensemble(MEMBERS).eval()
    read = ensemble.read(SOURCES, IS_TOKEN)
    hidden = ensemble.decode(WRITTEN, read)
    assert hidden.shape == (2, 3, ensemble.width) == (2, 3, 16 + 24 + 16)
    probs = torch.zeros(2, 3, 20)
    for member in MEMBERS:
        own = member.read(SOURCES, IS_TOKEN)
        probs += member.next_log_probs(member.decode(WRITTEN, own), own).exp() / len(MEMBERS)
    torch.testing.assert_close(ensemble.next_log_probs(hidden, read).exp(), probs)
    alone = MEMBERS[1].read(SOURCES, IS_TOKEN)
    twice = Ensemble([MEMBERS[1], MEMBERS[1]]).eval()
    said = twice.read(SOURCES, IS_TOKEN)
    torch.testing.assert_close(
        twice.next_log_probs(twice.decode(WRITTEN, said), said),
        MEMBERS[1].next_log_probs(MEMBERS[1].decode(WRITTEN, alone), alone),
    )


@torch.inference_mode()
def test_one_cache_holds_the_layers_of_all() -> None:
    ensemble = Ensemble(MEMBERS).eval()
    assert ensemble.num_writer_layers == 1 + 3 + 1
    read = ensemble.read(SOURCES, IS_TOKEN)
    whole = ensemble.decode(WRITTEN, read)
    cache = GrowingCache()
    for time in range(3):
        step = ensemble.decode(WRITTEN[:, time : time + 1], read, cache)
        cache.length += 1
        torch.testing.assert_close(step[:, 0], whole[:, time])


@torch.inference_mode()
def test_rows_are_chosen_for_all_of_them() -> None:
    ensemble = Ensemble(MEMBERS).eval()
    read = ensemble.read(SOURCES, IS_TOKEN)
    turned = ensemble.decode(WRITTEN.flip(0), read.rows(torch.tensor([1, 0])))
    torch.testing.assert_close(turned, ensemble.decode(WRITTEN, read).flip(0))


@torch.inference_mode()
def test_known_tokens_are_mixed_in_once_behind_the_mean() -> None:
    ensemble = Ensemble(MEMBERS[:2]).eval()
    keys = ensemble.decode(WRITTEN, ensemble.read(SOURCES, IS_TOKEN))
    known = KnownTokens(keys, torch.tensor([[8, 9, 1], [3, 5, 1]]), Trust(0.5, 1e6, 1.0))
    ensemble.knows = lambda ids, is_token: known
    read = ensemble.read(SOURCES, IS_TOKEN)
    hidden = ensemble.decode(WRITTEN, read)
    own = ensemble.own_log_probs(hidden, read)
    mixed = ensemble.next_log_probs(hidden, read)
    torch.testing.assert_close(mixed, known.mixed(own, hidden))
    assert not torch.allclose(mixed, own)
    torch.testing.assert_close(mixed.exp().sum(-1), torch.ones(2, 3))


@pytest.mark.parametrize("beams", [1, 3])
def test_a_search_writes_with_all_of_them(beams: int) -> None:
    """One member twice writes what it writes alone; two that differ write something of their own,
    which both of them together hold likelier."""
    settings = SamplingSettings(beams=beams, max_tokens=8, temperature=0.0)
    sources = [[3, 4, 5, 1], [6, 7, 1]]

    def written(model: EncoderDecoder | Ensemble) -> list[tuple[int, ...]]:
        found = write_texts(
            model, sources, settings, start_id=0, end_id=1, weights=Weights(coverage=0.1)
        )
        return [beams[0].ids for beams in found]

    first, second = MEMBERS[:2]
    assert written(Ensemble([first, first]).eval()) == written(first)
    joint = written(Ensemble([first, second]).eval())
    assert joint != written(first)
    assert joint != written(second)


def test_members_are_of_one_vocabulary() -> None:
    other = EncoderDecoderConfig(
        vocab_size=21, num_layers=1, num_writer_layers=1, width=16, num_heads=2, head_width=8,
        mlp_width=16, context=16,
    )  # fmt: skip
    with pytest.raises(AssertionError, match="of one vocabulary"):
        Ensemble([MEMBERS[0], other.build(torch.Generator().manual_seed(0))])
