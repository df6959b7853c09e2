"""Questions with options, of which a language model must find the right one the likeliest."""

from __future__ import annotations

from dataclasses import dataclass

from homespun.core import DataError

_MEND = "mend the question or take it out"


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """One question.

    Attributes:
        contexts: what stands before the options: one for all, or one for each. "" where the
            options are whole texts (minimal pairs).
        options: two or more; each begins with the space that parts it from its context.
        gold: number of the right one.
        group: what it is reported under ("agronomy", "wh_island").
        asked: what the set says of it, the question with its right answer, without the words that
            a reader puts around them: whether a text has it is asked of this. "" where context and
            option are just that.
    """

    contexts: tuple[str, ...]
    options: tuple[str, ...]
    gold: int
    group: str = ""
    asked: str = ""

    def __post_init__(self) -> None:
        if len(self.options) < 2 or not all(self.options):
            raise DataError("a question needs two or more options", got=self.options, remedy=_MEND)
        if len(self.contexts) not in (1, len(self.options)):
            raise DataError(
                "a question needs one context, or one for each option",
                got=len(self.contexts),
                remedy=_MEND,
            )
        if not 0 <= self.gold < len(self.options):
            raise DataError(
                f"the right option must be 0 … {len(self.options) - 1}", got=self.gold, remedy=_MEND
            )

    @property
    def bare(self) -> str:
        """`asked`, or else the right option behind its context."""
        context, option = self.pairs[self.gold]
        return self.asked or context + option

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Context and option, for each option."""
        contexts = self.contexts
        if len(contexts) == 1:
            contexts *= len(self.options)
        return list(zip(contexts, self.options, strict=True))
