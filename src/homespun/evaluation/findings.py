"""What a verdict is gathered in, and the small words its sentences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# Of the summary's second sentence.
MOST_CLAUSES = 3


@dataclass(slots=True)
class Findings:
    points: list[dict[str, str]] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    # (kind, verb phrase with "it" understood); the first `num_about_language` are the headline.
    clauses: list[tuple[str, str]] = field(default_factory=list)
    num_about_language: int = 0

    def add(
        self, kind: str, text: str, *, clause: str = "", advice: str = "", section: str = ""
    ) -> None:
        self.points.append({"kind": kind, "text": text})
        if clause:
            self.clauses.append((kind, clause))
        if advice and advice not in self.next:
            self.next.append(advice)
        if section:
            self.sections[section] = text

    def summary(self) -> str:
        """One or two sentences: how it stands against the baselines, then the worst, then others.

        A lead and what speaks against it share a sentence, so that neither is read alone.
        """
        headline = self.clauses[: self.num_about_language]
        rest = sorted(self.clauses[self.num_about_language :], key=lambda found: found[0] != "bad")
        first = f"The model {and_list([clause for _, clause in headline])}"
        if rest and rest[0][0] == "bad" and all(kind == "good" for kind, _ in headline):
            first += f", but {rest.pop(0)[1]}"
        second = f" It {and_list([clause for _, clause in rest[:MOST_CLAUSES]])}." if rest else ""
        return f"{first}.{second}"


def and_list(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def the_name(name: str) -> str:
    return name if name == "xz" else f"the {name}"


def share_of(share: float) -> str:
    return "None" if not share else "Under 1%" if share < 0.005 else f"{share:.0%}"


def count(number: int, noun: str) -> str:
    return f"{number or 'No'} {noun}{'' if number == 1 else 's'}"
