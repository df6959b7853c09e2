"""Answers that are JSON of a schema, match an expression or a grammar, or are one of several texts.

What may come next is computed by llguidance, over the tokenizer's bytes. Its own limits bound the
time and memory of compiling and of each step; ours (`core.constraints`) bound what it is handed: it
goes down nesting, references and rules by recursion, and has no limit to that.

V vocabulary.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from homespun.core import Constraint, RequestError, Tokenizer
from homespun.core.constraints import check_constraint
from homespun.inference.sampling.filters import MINUS_INFINITY

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MOST_WHITESPACE = 16
"""Characters of white space in a row between parts of JSON: small models would go on for ever."""
_KEPT = 16  # each may hold 20,000 states of its lexer, some tens of megabytes


class ConstraintCompiler:
    """Compiles constraints for one tokenizer, and keeps the last few it has compiled.

    Args:
        tokenizer: of the answers.
        end_ids: tokens that end an answer: they may come where the text is complete.
    """

    def __init__(self, tokenizer: Tokenizer, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._native: LLTokenizer | None = None
        self._kept: OrderedDict[Constraint, LLMatcher] = OrderedDict()

    def compile(self, constraint: Constraint) -> ConstraintState:
        """A new state, at the beginning of an answer.

        Raises:
            RequestError: the constraint is too large, is none, or nothing can fulfil it.
        """
        matcher = self._kept.pop(constraint, None)
        if matcher is None:
            matcher = self._compile(constraint)
        self._kept[constraint] = matcher
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return ConstraintState(matcher.deep_copy(), self._tokenizer.vocab_size)

    def _compile(self, constraint: Constraint) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits

        check_constraint(constraint)
        limits = LLParserLimits(
            initial_lexer_fuel=1_000_000,
            max_lexer_states=20_000,
            max_grammar_size=100_000,
            verbose_errors=False,
        )
        try:
            matcher = LLMatcher(self._tokens(), _grammar(constraint), log_level=0, limits=limits)
            failed = matcher.get_error() if matcher.is_error() else ""
        except ValueError as error:
            failed = str(error)
        if failed:
            raise RequestError(
                f"the {constraint.kind} cannot be used as a constraint",
                got=_gist(failed),
                remedy="correct or simplify it",
            )
        return matcher

    def _tokens(self) -> LLTokenizer:
        if self._native is None:
            from llguidance import LLTokenizer, TokenizerWrapper

            self._native = LLTokenizer(
                TokenizerWrapper(_Vocabulary(self._tokenizer)),
                n_vocab=self._tokenizer.vocab_size,
                eos_token=sorted(self._end_ids),
            )
        return self._native


def compile_constraint(
    constraint: Constraint, tokenizer: Tokenizer, end_ids: frozenset[int]
) -> ConstraintState:
    """A state at the beginning of an answer. Raises RequestError as `ConstraintCompiler` does."""
    return ConstraintCompiler(tokenizer, end_ids).compile(constraint)


class ConstraintState:
    """How far an answer has come within its constraint."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    def allowed(self) -> Tensor:
        """(V,) True where a token may come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return torch.from_numpy(
            np.unpackbits(bits, bitorder="little")[: self._vocab_size].astype(bool)
        )

    def masked(self, logits_V: Tensor) -> Tensor:
        return torch.where(self.allowed(), logits_V, MINUS_INFINITY)

    def take(self, token: int) -> None:
        """Go on by a token that is allowed."""
        self._matcher.consume_token(token)

    @property
    def is_complete(self) -> bool:
        """Nothing but the end may come."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def failure(self, *, is_stuck: bool) -> RequestError | None:
        """Why the answer cannot go on; None where nothing is wrong.

        Args:
            is_stuck: no token is left that may come, which is right where the text is complete.
        """
        why = ""
        if self._matcher.is_error():
            told = self._matcher.get_error().strip().splitlines()
            why = told[0] if told else "it failed"
        elif is_stuck and not self._matcher.is_accepting():
            why = "no token that may come fits it"
        if not why:
            return None
        return RequestError(
            "the constraint cannot be kept to the end of the answer",
            got=why,
            remedy="simplify it, or ban fewer tokens",
        )

    def copy(self) -> ConstraintState:
        return ConstraintState(self._matcher.deep_copy(), self._vocab_size)


def _grammar(constraint: Constraint) -> str:
    from llguidance import LLMatcher

    if constraint.kind == "json_schema":
        white = rf"[\x20\x0A\x0D\x09]{{1,{MOST_WHITESPACE}}}"
        return str(
            LLMatcher.grammar_from_json_schema(
                constraint.text, overrides={"whitespace_pattern": white}
            )
        )
    if constraint.kind == "grammar":
        return str(LLMatcher.grammar_from_lark(constraint.text))
    expression = constraint.text
    if constraint.kind == "choice":
        expression = "|".join(re.escape(choice) for choice in constraint.choices)
    return str(LLMatcher.grammar_from_regex(expression))


class _Vocabulary:
    """A tokenizer as llguidance wants to see it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.eos_token_id = tokenizer.end_of_text_id
        self.bos_token_id = None
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.special_token_ids = [token for token, data in enumerate(self.tokens) if not data]
        for token in self.special_token_ids:
            self.tokens[token] = b"<|%d|>" % token
        self._tokenizer = tokenizer

    def __call__(self, text: Any) -> list[int]:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return [int(token) for token in self._tokenizer.encode(text)]


def _gist(told: str) -> str:
    """The sentence of a compiler's many lines that says what is wrong."""
    lines = told.splitlines()
    marked = (line.removeprefix("error: ") for line in lines if line.startswith("error: "))
    return next(marked, lines[0])
