"""Parts beyond the plain decoder, each of which can be left out; see `DecoderConfig`.

kinds    what each parameter is, for optimisers
previous the token before each, where there is one: what bigrams and smear look at
bigram   a table of hashed pairs of tokens
value    tables of values, one row a token
smear    the previous token's vector, added in
mix      learned factors of what flows into each layer
gate     learned factors of what a layer does with it

Each fast function has an `…_obvious` one beside it.
dropout     numbers left out at random while training
"""

from homespun.models.extras.bigram import BigramTable
from homespun.models.extras.gate import GATE_CHANNELS, Gate
from homespun.models.extras.kinds import (
    ParameterKind,
    kind_of,
    num_multiplied,
    parameter_kinds,
)
from homespun.models.extras.mix import ResidualMix
from homespun.models.extras.previous import previous_ids
from homespun.models.extras.smear import SMEAR_CHANNELS, Smear
from homespun.models.extras.value import ValueEmbeddings, layers_with_values

__all__ = [
    "GATE_CHANNELS",
    "SMEAR_CHANNELS",
    "BigramTable",
    "Gate",
    "ParameterKind",
    "ResidualMix",
    "Smear",
    "ValueEmbeddings",
    "kind_of",
    "layers_with_values",
    "num_multiplied",
    "parameter_kinds",
    "previous_ids",
]
