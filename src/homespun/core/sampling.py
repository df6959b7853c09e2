"""What may be asked of a generator, and what it answers. Plain frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

LONGEST_CONSTRAINT = 64 * 1024
"""Characters of a schema, an expression or a grammar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What an answer's text must look like, as a whole.

    Attributes:
        kind: "json_schema" a JSON schema, "regex" a regular expression, "choice" one of several
            texts, "grammar" a grammar in Lark's notation.
        text: the schema as JSON, the expression or the grammar; empty for "choice".
        choices: the texts to choose from.
    """

    kind: Literal["json_schema", "regex", "choice", "grammar"]
    text: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """How an answer is made. temperature 0 is greedy; top_k 0, top_p 1, min_p 0, typical_p 1 are
    off, as are penalties of 0 and a repetition penalty of 1.

    Attributes:
        max_tokens: most tokens of the answer.
        min_tokens: the answer does not end by itself before it has as many.
        temperature, top_k, top_p, min_p, typical_p: which tokens may come, and how likely.
        repetition_penalty: above 1 makes what prompt or answer have less likely (CTRL).
        frequency_penalty, presence_penalty: taken from a token's score, for each time it is in the
            answer, and once where it is (OpenAI's definition).
        logit_bias: pairs of a token's id and what is added to its score.
        banned_tokens: ids that are never chosen.
        forced_tokens: ids the answer begins with.
        seed: makes the answer reproducible, alone and in any company. Answer i of several has
            `seed + i`.
        stop: texts that end the answer and are not part of it.
        stop_tokens: ids that do so.
        ignore_end: the model's own end is a token like others; for measurements.
        logprobs: None, or how many of the likeliest tokens to tell beside each one chosen.
        prompt_logprobs: the same of the prompt's tokens, too; all of it is read anew then.
        num_answers: answers to one prompt ("n").
        best_of: answers that are made, of which the `num_answers` likeliest a token are given;
            0 for as many as are given.
        beams: width of beam search; 0 for none.
        beam_groups: groups that differ from each other; divides `beams`.
        diversity_penalty: taken from tokens that an earlier group chose at the same place.
        length_penalty: a beam's score is its log probability by its length to this power.
        contrastive_alpha: above 0, contrastive search among the `top_k` likeliest.
        lookup_tokens: most tokens to guess ahead by what followed the last ones earlier in the
            text; 0 for none. Makes repetitive answers faster and changes nothing in them.
        constraint: what the text must look like.
    """

    max_tokens: int = 200
    min_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    banned_tokens: tuple[int, ...] = ()
    forced_tokens: tuple[int, ...] = ()
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    ignore_end: bool = False
    logprobs: int | None = None
    prompt_logprobs: bool = False
    num_answers: int = 1
    best_of: int = 0
    beams: int = 0
    beam_groups: int = 1
    diversity_penalty: float = 0.0
    length_penalty: float = 1.0
    contrastive_alpha: float = 0.0
    lookup_tokens: int = 0
    constraint: Constraint | None = None


FinishReason = Literal["stop", "length", "cancelled", "error"]


class TokenLogprob(NamedTuple):
    """A token of an answer and how likely the model held it, before temperature and filters.

    Attributes:
        token_id: the one chosen.
        logprob: its natural log probability.
        top: the likeliest tokens with theirs, likeliest first; equal ones by their id.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated continuation, the prompt not included.

    Attributes:
        text: cut before a stop string.
        token_ids: the one that ended it left out.
        finish_reason: "stop" the model or a stop string ended it, "length" no more room.
        num_prompt_tokens: read before it.
        seconds: from the request to the end.
        logprobs: one a token where they were asked for.
        num_cached_tokens: of the prompt, that were known from an earlier request.
        score: mean log probability a token; that of the beam in beam search; None where not
            measured.
        prompt_logprobs: of the prompt's tokens but the first, where they were asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    num_prompt_tokens: int
    seconds: float
    logprobs: tuple[TokenLogprob, ...] | None = None
    num_cached_tokens: int = 0
    score: float | None = None
    prompt_logprobs: tuple[TokenLogprob, ...] | None = None
