"""Copying: a proper distribution, the loss that it implies, and words no vocabulary has learned."""

import pytest
import torch

from homespun.core import SamplingSettings
from homespun.inference.search.writing import write_texts
from homespun.models import EncoderDecoder, EncoderDecoderConfig
from homespun.models.encoder_decoder.copying import CopyHead
from homespun.training import PairBatches, Seq2SeqObjective
from homespun.training.optim import OptimizerConfig, build_optimizer

V = 40


def model(**more: object) -> EncoderDecoder:
    settings = {
        "vocab_size": V, "num_layers": 1, "num_writer_layers": 1, "width": 32, "num_heads": 2,
        "head_width": 16, "mlp_width": 32, "context": 24, "positions": "rotary", "norm": "rms",
        "norm_first": True, "copying": True,
    }  # fmt: skip
    return EncoderDecoderConfig(**{**settings, **more}).build(torch.Generator().manual_seed(0))


def shaken(built: EncoderDecoder) -> EncoderDecoder:
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=noise)
    return built.eval()


IDS = torch.tensor([[5, 6, 7, 5, 1], [8, 9, 1, 0, 0]])
IS_TOKEN = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
WRITTEN = torch.tensor([[0, 5, 6], [0, 9, 4]])
TARGETS = torch.tensor([[5, 6, 1], [9, 4, -100]])


@torch.no_grad()
def test_probabilities_add_up_and_give_the_loss() -> None:
    built = shaken(model())
    read = built.read(IDS, IS_TOKEN)
    log_probs = built.next_log_probs(built.decode(WRITTEN, read), read)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 3), rtol=1e-5, atol=1e-5)
    asked = TARGETS >= 0
    wanted = -log_probs.gather(2, TARGETS.clamp_min(0)[..., None]).squeeze(2)[asked].sum()
    torch.testing.assert_close(built.copying_loss(IDS, IS_TOKEN, WRITTEN, TARGETS), wanted)


@torch.no_grad()
def test_the_mixture_is_its_formula_and_filling_up_is_never_copied() -> None:
    built = shaken(model())
    head = built.copying
    assert isinstance(head, CopyHead)
    read = built.read(IDS, IS_TOKEN)
    assert read.copies is not None
    hidden = built.decode(WRITTEN, read)
    attention, gate = head.weights(hidden, read.copies)
    assert float(attention[1, :, 3:].abs().max()) == 0.0
    own = built.head(hidden).float().softmax(-1)
    found = built.next_log_probs(hidden, read).exp()
    for word in (5, 6, 33):
        copied = attention[0, 1, (IDS[0] == word).nonzero().flatten()].sum()
        share = torch.sigmoid(gate[0, 1])
        wanted = (1 - share) * own[0, 1, word] + share * copied
        torch.testing.assert_close(found[0, 1, word], wanted, rtol=1e-4, atol=1e-7)


def test_smoothing_pulls_the_vocabulary_alone() -> None:
    built = shaken(model())
    plain = built.copying_loss(IDS, IS_TOKEN, WRITTEN, TARGETS)
    smooth = built.copying_loss(IDS, IS_TOKEN, WRITTEN, TARGETS, smoothing=0.2)
    with torch.no_grad():
        own = built.head(built(IDS, IS_TOKEN, WRITTEN)).float().log_softmax(-1)
        spread = -(own.mean(-1) * (TARGETS >= 0)).sum()
    torch.testing.assert_close(smooth, 0.8 * plain + 0.2 * spread)


def test_agreement_is_of_the_vocabulary_and_with_the_other_half_alone() -> None:
    built = shaken(model())
    ids, is_token, written = (torch.cat([one, one.flip(0)]) for one in (IDS, IS_TOKEN, WRITTEN))
    targets = torch.cat([TARGETS, TARGETS])
    plain = built.copying_loss(ids, is_token, written, targets)
    agreed = built.copying_loss(ids, is_token, written, targets, agreement=0.4)
    with torch.no_grad():
        own = built.head(built(ids, is_token, written)).float().log_softmax(-1)
        other = torch.cat([own[2:], own[:2]]).exp()
        apart = -((other * own).sum(-1) * (targets >= 0)).sum()
    torch.testing.assert_close(agreed, 0.6 * plain + 0.4 * apart)


def test_it_learns_to_write_words_that_were_never_targets() -> None:
    """Say again the second word: of 30 words, 10 were seen while learning."""
    draw = torch.Generator().manual_seed(3)
    words = torch.randint(10, 20, (200, 4), generator=draw).tolist()
    source = PairBatches(
        [(row, [row[1]]) for row in words], tokens=512, start_id=0, end_id=1, context=24, seed=0
    )
    right = {}
    for copying in (True, False):
        built = model(copying=copying)
        optimizer = build_optimizer(built, OptimizerConfig(learning_rate=1e-2, weight_decay=0.0))
        built.train()
        for step in range(120):
            output = Seq2SeqObjective().loss(built, source.batch(step))
            (output.loss_sum / output.num_targets).backward()
            optimizer.step(1.0)
            built.zero_grad(set_to_none=True)
        built.eval()
        new = torch.randint(20, 40, (30, 4), generator=torch.Generator().manual_seed(5)).tolist()
        settings = SamplingSettings(beams=1, max_tokens=3, temperature=0.0)
        told = write_texts(built, [[*row, 1] for row in new], settings, start_id=0, end_id=1)
        right[copying] = sum(
            beams[0].ids[:1] == (row[1],) for row, beams in zip(new, told, strict=True)
        )
    assert right[True] > right[False] + 5


def test_a_model_that_does_not_copy_needs_no_ids() -> None:
    built = shaken(model(copying=False))
    memory = built.encode(IDS, IS_TOKEN)
    assert built.remember(memory, IS_TOKEN).copies is None
    copier = shaken(model())
    memory = copier.encode(IDS, IS_TOKEN)
    with pytest.raises(AssertionError, match="what it read"):
        copier.remember(memory, IS_TOKEN)
