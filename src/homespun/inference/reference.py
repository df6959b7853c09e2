"""The slow, obvious versions: no cache, no batch, one token chosen in plain Python.

Tests hold the engine and the sampler against these, token for token.

V vocabulary.
"""

from __future__ import annotations

import codecs
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from homespun.core import (
    Completion,
    FinishReason,
    SamplingSettings,
    Tokenizer,
    TokenLogprob,
)
from homespun.inference.request import plain_settings
from homespun.inference.runners import CachedDecoder, network_states
from homespun.inference.sampling import ConstraintState, compile_constraint
from homespun.inference.sampling.filters import LOWEST_TEMPERATURE, MINUS_INFINITY
from homespun.inference.sampling.noise import noise_obvious
from homespun.inference.search import Beam, BeamSearch, best_candidate
from homespun.inference.sound import not_finite


@torch.inference_mode()
def reference_generate(
    model: CachedDecoder,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    window: int,
) -> Completion:
    """Continue a prompt by computing everything anew for every token. One sampled or greedy answer:
    for other ways see `reference_beams` and `reference_contrastive`."""
    settings = plain_settings(settings)
    ends = _ends(tokenizer, settings)
    prompt, answer = list(prompt_ids), list[int]()
    constraint = None
    if settings.constraint is not None:
        constraint = compile_constraint(settings.constraint, tokenizer, _specials(tokenizer))
    text, finish = "", "length"
    while len(prompt) + len(answer) < window and len(answer) < settings.max_tokens:
        logits_V = _scores(model, tokenizer, [*prompt, *answer])
        logits = reference_adjusted(logits_V, settings, prompt, answer, ends)
        if constraint is not None:
            allowed = constraint.allowed().tolist()
            logits = [x if ok else MINUS_INFINITY for x, ok in zip(logits, allowed, strict=True)]
        if len(answer) < len(settings.forced_tokens):
            token = settings.forced_tokens[len(answer)]
        elif max(logits) == MINUS_INFINITY:
            _raise_failure(constraint, is_stuck=True)
            finish = "stop"
            break
        else:
            token = reference_sample(logits, settings, len(answer))
        if token in ends:
            _raise_failure(constraint, is_stuck=False)
            finish = "stop"
            break
        answer.append(token)
        text, stopped = reference_text(tokenizer, answer, settings.stop)
        if constraint is not None:
            constraint.take(token)
        if stopped or _is_complete(constraint):
            finish = "stop"
            break
    return _completion(text, answer, "stop" if finish == "stop" else "length", prompt)


@torch.inference_mode()
def reference_beams(
    model: CachedDecoder,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    window: int,
) -> list[Beam]:
    """The beams of a request, best first, each read anew for every token."""
    ends = _ends(tokenizer, settings)
    search = BeamSearch(
        settings,
        most=min(settings.max_tokens, window - len(prompt_ids)),
        end_ids=ends,
        is_stopped=lambda ids: reference_text(tokenizer, ids, settings.stop)[1],
    )
    while search.live:
        log_probs = []
        for beam in search.live:
            logits_V = _scores(model, tokenizer, [*prompt_ids, *beam.ids])
            adjusted = reference_adjusted(logits_V, settings, prompt_ids, beam.ids, ends)
            log_probs.append(torch.tensor(adjusted, dtype=torch.float32).log_softmax(-1))
        search.advance(log_probs)
    return search.best(settings.num_answers)


@torch.inference_mode()
def reference_contrastive(
    model: CachedDecoder,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    window: int,
) -> list[int]:
    """The tokens of an answer by contrastive search, every candidate read anew."""
    ends = _ends(tokenizer, settings)
    ids = list(prompt_ids)
    while len(ids) < window and len(ids) - len(prompt_ids) < settings.max_tokens:
        p_V = torch.from_numpy(_scores(model, tokenizer, ids)).softmax(-1)
        p_K, candidates = p_V.topk(settings.top_k)
        read = [
            network_states(model, model(torch.tensor([[*ids, token]])))[0].float()
            for token in candidates.tolist()
        ]
        hidden_KD = torch.stack([hidden_TD[-1] for hidden_TD in read])
        best = best_candidate(
            p_K, hidden_KD.double(), read[0][:-1].double(), settings.contrastive_alpha
        )
        token = int(candidates[best])
        if token in ends:
            break
        ids.append(token)
    return ids[len(prompt_ids) :]


@torch.inference_mode()
def reference_prompt_logprobs(
    model: CachedDecoder, tokenizer: Tokenizer, prompt_ids: Sequence[int], num_top: int
) -> list[TokenLogprob]:
    """How likely each token of a prompt but the first was, from a full pass for each."""
    found = []
    for at in range(1, len(prompt_ids)):
        scores = _scores(model, tokenizer, prompt_ids[:at]).tolist()
        highest = max(scores)
        total = highest + math.log(sum(math.exp(score - highest) for score in scores))
        log_p = [score - total for score in scores]
        best = sorted(range(len(log_p)), key=lambda token: (-log_p[token], token))[:num_top]
        top = tuple((token, log_p[token]) for token in best)
        found.append(TokenLogprob(prompt_ids[at], log_p[prompt_ids[at]], top))
    return found


def reference_text(
    tokenizer: Tokenizer, ids: Sequence[int], stop: Sequence[str]
) -> tuple[str, bool]:
    """The text of `ids` cut at the first stop string to be completed, and whether there was one."""
    data = b"".join(tokenizer.token_bytes(token) for token in ids)
    # Not final: a character that is not finished is left out.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    for end in range(1, len(text) + 1):
        for word in sorted(stop, key=len, reverse=True):
            if text[:end].endswith(word):
                return text[: end - len(word)], True
    return text, False


def reference_adjusted(
    logits_V: NDArray[np.float64],
    settings: SamplingSettings,
    prompt: Sequence[int],
    answer: Sequence[int],
    ends: frozenset[int],
) -> list[float]:
    """The slow version of `Adjustment`."""
    values = [float(value) for value in logits_V]
    for token in {*prompt, *answer}:
        penalty = settings.repetition_penalty
        values[token] = values[token] / penalty if values[token] > 0 else values[token] * penalty
    for token, times in Counter(answer).items():
        values[token] -= settings.frequency_penalty * times + settings.presence_penalty
    for token, bias in settings.logit_bias:
        values[token] += bias
    for token in settings.banned_tokens:
        values[token] = MINUS_INFINITY
    if len(answer) < settings.min_tokens:
        for token in ends:
            values[token] = MINUS_INFINITY
    return values


def reference_sample(logits: Sequence[float], settings: SamplingSettings, place: int) -> int:
    """The slow version of `sample` for one row: token `place` of the answer."""
    values = list(logits)
    if settings.temperature < LOWEST_TEMPERATURE:
        return values.index(max(values))
    values = [value / settings.temperature for value in values]
    if 0 < settings.top_k < len(values):
        least = sorted(values, reverse=True)[settings.top_k - 1]
        values = [value if value >= least else MINUS_INFINITY for value in values]
    if settings.typical_p < 1.0:
        values = _typical(values, settings.typical_p)
    if settings.top_p < 1.0:
        probabilities = _softmax(values)
        mass, least = 0.0, MINUS_INFINITY
        for value, p in sorted(zip(values, probabilities, strict=True), reverse=True):
            least = value
            mass += p
            if mass >= settings.top_p:
                break
        values = [value if value >= least else MINUS_INFINITY for value in values]
    if settings.min_p > 0.0:
        least = max(values) + math.log(settings.min_p)
        values = [value if value >= least else MINUS_INFINITY for value in values]
    scores = [
        value - math.log(-math.log(noise_obvious(settings.seed, place, token)))
        for token, value in enumerate(values)
    ]
    return scores.index(max(scores))


def _typical(values: Sequence[float], typical_p: float) -> list[float]:
    probabilities = _softmax(values)
    entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
    distances = [abs(-math.log(p) - entropy) if p > 0 else math.inf for p in probabilities]
    mass, farthest = 0.0, math.inf
    for distance, p in sorted(zip(distances, probabilities, strict=True)):
        farthest = distance
        mass += p
        if mass >= typical_p:
            break
    return [
        value if distance <= farthest else MINUS_INFINITY
        for value, distance in zip(values, distances, strict=True)
    ]


def _softmax(values: Sequence[float]) -> list[float]:
    highest = max(values)
    powers = [math.exp(value - highest) for value in values]
    return [power / sum(powers) for power in powers]


def _scores(model: CachedDecoder, tokenizer: Tokenizer, ids: Sequence[int]) -> NDArray[np.float64]:
    logits_1TV = model.head(model(torch.tensor([list(ids)])))
    scores_V: NDArray[np.float64] = logits_1TV[0, -1, : tokenizer.vocab_size].double().numpy()
    if not np.isfinite(scores_V).all():
        raise not_finite()
    return scores_V


def _specials(tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(t for t in range(tokenizer.vocab_size) if not tokenizer.token_bytes(t))


def _ends(tokenizer: Tokenizer, settings: SamplingSettings) -> frozenset[int]:
    own = frozenset() if settings.ignore_end else _specials(tokenizer)
    return own | frozenset(settings.stop_tokens)


def _is_complete(constraint: ConstraintState | None) -> bool:
    return constraint is not None and constraint.is_complete


def _raise_failure(constraint: ConstraintState | None, *, is_stuck: bool) -> None:
    if constraint is not None and (failure := constraint.failure(is_stuck=is_stuck)) is not None:
        raise failure


def _completion(
    text: str, ids: Sequence[int], finish: FinishReason, prompt: Sequence[int]
) -> Completion:
    return Completion(
        text=text,
        token_ids=tuple(ids),
        finish_reason=finish,
        num_prompt_tokens=len(prompt),
        seconds=0.0,
    )
