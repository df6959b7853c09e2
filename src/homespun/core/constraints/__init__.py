"""How large a constraint on an answer may be, measured before anything follows it.

Whoever asks a server may send any schema, expression or grammar. The library that compiles them
goes down their nesting, their references and their rules by recursion, and where these go too deep
the process ends: a valid schema of 1,000 definitions, each in the one before, is enough. So they
are measured first, without recursion, in time that grows with their length alone.

schema      JSON schemas: nesting, parts, what references lead through
expression  regular expressions: groups, alternatives, repetitions
grammar     grammars in Lark's notation: nesting, rules, symbols, and what is embedded in them
"""

from homespun.core.constraints.expression import check_expression
from homespun.core.constraints.grammar import check_grammar
from homespun.core.constraints.limits import check_constraint
from homespun.core.constraints.schema import check_schema

__all__ = ["check_constraint", "check_expression", "check_grammar", "check_schema"]
