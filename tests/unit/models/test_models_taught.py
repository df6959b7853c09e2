"""What a table teaches: gradients of the mixture, values of the text."""

from __future__ import annotations

import pytest
import torch

from homespun.models import DecoderConfig
from homespun.models.cross_entropy import (
    Known,
    Teacher,
    cross_entropy_from_hidden,
    cross_entropy_obvious,
)

N, D, V = 700, 8, 11


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(V, (N,), generator=generator)
    targets[::9] = -100
    return (
        torch.randn(N, D, generator=generator),
        torch.randn(V, D, generator=generator),
        torch.log_softmax(torch.randn(N, V, generator=generator), -1),
        targets,
    )


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_value_and_gradients_are_those_of_the_slow_version(softcap, share):
    hidden, weight, teacher, targets = inputs()
    results = []
    for function in (cross_entropy_from_hidden, cross_entropy_obvious):
        own = [t.clone().requires_grad_() for t in (hidden, weight)]
        loss = function(*own, targets, teacher=Teacher(teacher, share), softcap=softcap)
        (2.0 * loss).backward()
        results.append([loss.detach(), *(t.grad for t in own)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


def test_a_table_may_stand_beside_the_network_and_teach_it_too():
    hidden, weight, teacher, targets = inputs()
    strength = torch.rand(N, generator=torch.Generator().manual_seed(1))
    results = []
    for function in (cross_entropy_from_hidden, cross_entropy_obvious):
        own = [t.clone().requires_grad_() for t in (hidden, weight, strength)]
        known = Known(teacher.roll(1, 0), own[2])
        loss = function(*own[:2], targets, known=known, teacher=Teacher(teacher, 0.5), softcap=3.0)
        loss.backward()
        results.append([loss.detach(), *(t.grad for t in own)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


def test_a_model_that_is_taught_by_a_sure_teacher_comes_to_say_what_it_says():
    generator = torch.Generator().manual_seed(0)
    model = DecoderConfig(
        vocab_size=V, num_layers=1, width=16, num_heads=1, num_kv_heads=1, head_width=16,
        mlp_width=32, context=8,
    ).build(generator)  # fmt: skip
    ids = torch.randint(V, (4, 8), generator=generator)
    targets = torch.randint(V, (4, 8), generator=generator)
    teacher = torch.log_softmax(4.0 * torch.randn(V, generator=generator), -1).expand(32, V)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

    def distance() -> float:
        scores = torch.log_softmax(model.head(model(ids)), -1)
        return float((teacher.exp() * (teacher - scores.flatten(0, 1))).sum(-1).mean().detach())

    before = distance()
    for _ in range(60):
        optimizer.zero_grad()
        (model.taught_loss(model(ids), targets, teacher, share=1.0) / 32).backward()
        optimizer.step()
    assert distance() < 0.1 * before
