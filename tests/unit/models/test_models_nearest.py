"""Known tokens: a proper distribution, its formula token by token, and what fills rows up."""

import math

import pytest
import torch

from homespun.models import EncoderDecoderConfig, KnownTokens, Trust

KEYS = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]])
IDS = torch.tensor([[4, 5, 4], [1, -1, -1]])
HIDDEN = torch.tensor([[[0.0, 0.5], [9.0, 9.0]], [[2.0, 1.0], [0.0, 0.0]]])
TRUST = Trust(share=0.6, reach=10.0, temperature=2.0, num=2)


def obvious(log_probs: torch.Tensor, known: KnownTokens) -> torch.Tensor:
    found = torch.empty_like(log_probs)
    for row in range(2):
        for time in range(2):
            near = sorted(
                (float((HIDDEN[row, time] - key).square().sum()), int(token))
                for key, token in zip(known.keys_BND[row], known.ids_BN[row], strict=True)
                if token >= 0
            )[: known.trust.num]
            share = known.trust.share * max(0.0, 1 - near[0][0] / known.trust.reach)
            weights = [math.exp(-apart / known.trust.temperature) for apart, _ in near]
            probs = (1 - share) * log_probs[row, time].exp()
            for weight, (_, token) in zip(weights, near, strict=True):
                probs[token] += share * weight / sum(weights)
            found[row, time] = probs.log()
    return found


def test_the_mixture_is_its_formula() -> None:
    log_probs = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    known = KnownTokens(KEYS, IDS, TRUST)
    mixed = known.mixed(log_probs, HIDDEN)
    torch.testing.assert_close(mixed, obvious(log_probs, known))
    torch.testing.assert_close(mixed.exp().sum(-1), torch.ones(2, 2))
    torch.testing.assert_close(mixed[0, 1], log_probs[0, 1])  # beyond reach of all that is known
    turned = known.rows(torch.tensor([1, 0]))
    torch.testing.assert_close(turned.mixed(log_probs.flip(0), HIDDEN.flip(0)), mixed.flip(0))


@pytest.mark.parametrize("num", [0, 2])
def test_rows_for_which_nothing_is_known_stay_as_they_are(num: int) -> None:
    log_probs = torch.randn(1, 2, 6, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    known = KnownTokens(torch.zeros(1, num, 2), torch.full((1, num), -1), TRUST)
    torch.testing.assert_close(known.mixed(log_probs, HIDDEN[:1]), log_probs)


def test_a_model_asks_what_is_known_when_it_reads_and_not_while_it_learns() -> None:
    shape = EncoderDecoderConfig(
        vocab_size=20, num_layers=1, num_writer_layers=1, width=16, num_heads=2, head_width=8,
        mlp_width=16, context=16, norm_first=True,
    )  # fmt: skip
    model = shape.build(torch.Generator().manual_seed(0)).eval()
    ids, written = torch.tensor([[3, 4, 1]]), torch.tensor([[0, 7]])
    plain = model.next_log_probs(model(ids, None, written), model.read(ids))
    asked = []

    def knows(ids_BS: torch.Tensor, is_token_BS: torch.Tensor | None) -> KnownTokens:
        asked.append((ids_BS.tolist(), is_token_BS))
        keys = model.decode(written, model.remember(model.encode(ids)))
        return KnownTokens(keys, torch.tensor([[9, 11]]), Trust(0.5, 1e6, 0.001))

    model.knows = knows
    read = model.read(ids)
    found = model.next_log_probs(model.decode(written, read), read).exp()
    wanted = 0.5 * plain.exp()
    wanted[0, 0, 9] += 0.5
    wanted[0, 1, 11] += 0.5
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
    assert asked == [([[3, 4, 1]], None)]
    model.train()
    assert model.read(ids).known is None
    assert len(asked) == 1
