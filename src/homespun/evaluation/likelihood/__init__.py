"""Tasks in which a language model shows what it knows by what it finds likely.

questions   MultipleChoice: contexts, options and the right one
scoring     score_choices: accuracy by summed and by per-byte log-probability, beside chance
readers     BLiMP, CMMLU, the sets of llm-foundry, CrowS-Pairs, BBQ, XSTest
last_words  LAMBADA: the last word of a passage

A `core.LanguageModel` is handed in; nothing here knows what it is made of.
"""

from homespun.evaluation.likelihood.last_words import (
    LastWord,
    LastWordResult,
    read_lambada,
    score_last_words,
)
from homespun.evaluation.likelihood.questions import MultipleChoice
from homespun.evaluation.likelihood.readers import (
    read_bbq,
    read_blimp,
    read_choices,
    read_cmmlu,
    read_crows_pairs,
    read_xstest,
)
from homespun.evaluation.likelihood.scoring import (
    ChoiceResult,
    ContinuationModel,
    score_choices,
)

__all__ = [
    "ChoiceResult",
    "ContinuationModel",
    "LastWord",
    "LastWordResult",
    "MultipleChoice",
    "read_bbq",
    "read_blimp",
    "read_choices",
    "read_cmmlu",
    "read_crows_pairs",
    "read_lambada",
    "read_xstest",
    "score_choices",
    "score_last_words",
]
