"""What is asked of every constraint, and of each kind."""

from __future__ import annotations

from homespun.core.constraints.expression import check_expression
from homespun.core.constraints.grammar import check_grammar
from homespun.core.constraints.schema import check_schema
from homespun.core.errors import RequestError
from homespun.core.sampling import LONGEST_CONSTRAINT, Constraint

MOST_CHOICES = 1000


def check_constraint(constraint: Constraint) -> None:
    """Raises RequestError where it is too large to be looked at, or is not what it says."""
    if constraint.kind == "choice":
        if not 0 < len(constraint.choices) <= MOST_CHOICES or not all(constraint.choices):
            raise RequestError(
                f"a choice is among 1 to {MOST_CHOICES} texts that are not empty",
                got=len(constraint.choices),
                remedy="give fewer",
            )
        size = sum(map(len, constraint.choices))
    else:
        size = len(constraint.text)
    if not 0 < size <= LONGEST_CONSTRAINT:
        raise RequestError(
            f"a {constraint.kind} has 1 to {LONGEST_CONSTRAINT} characters",
            got=size,
            remedy="make it shorter",
        )
    if constraint.kind == "json_schema":
        check_schema(constraint.text)
    elif constraint.kind == "regex":
        check_expression(constraint.text)
    elif constraint.kind == "grammar":
        check_grammar(constraint.text)
