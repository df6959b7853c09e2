"""The nouns that travel, the protocols rooms meet through, and the ground they stand on.

errors     the error tree
types      Document, Message, Conversation, Score, ChatTokens
sampling   SamplingSettings, Constraint, Completion
constraints  how large schemas, expressions and grammars may be
protocols  Tokenizer, LanguageModel, Generator, Tagger, Objective, StepHook, Progress
config     frozen strict configs; unknown key = error with the nearest right key
files, text, numbers  atomic writes, hashes, JSON; NFC of any text; bytes for people
runs       the run directory, its record and its lock
blocks     parts of a token stream that are left out one at a time
machine    versions, processor, cores and memory, lack of it
compile    from C source to a loaded library
processes  which of several processes this one is
clock, rng working time, kept across kills; seeds and orders as functions of names

No torch here, and nothing heavy at import.
"""

from homespun.core.blocks import TextBlocks
from homespun.core.clock import WorkClock
from homespun.core.config import Config, did_you_mean, parse_config
from homespun.core.errors import (
    BudgetError,
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    HomespunError,
    RequestError,
    RunError,
)
from homespun.core.protocols import (
    Generator,
    LanguageModel,
    LossOutput,
    Objective,
    OptionTokenizer,
    Progress,
    Silent,
    StepHook,
    Tagged,
    Tagger,
    Task,
    Tokenizer,
)
from homespun.core.rng import derive_seed, permutation
from homespun.core.runs import RunDirectory, RunRecord
from homespun.core.sampling import (
    Completion,
    Constraint,
    FinishReason,
    SamplingSettings,
    TokenLogprob,
)
from homespun.core.types import (
    SPLITS,
    ChatTokens,
    Conversation,
    Document,
    Message,
    Role,
    Score,
    Split,
    perplexity_of,
)

__all__ = [
    "SPLITS",
    "BudgetError",
    "ChatTokens",
    "CheckpointError",
    "Completion",
    "Config",
    "ConfigError",
    "Constraint",
    "Conversation",
    "DataError",
    "DivergedError",
    "Document",
    "FinishReason",
    "Generator",
    "HomespunError",
    "LanguageModel",
    "LossOutput",
    "Message",
    "Objective",
    "OptionTokenizer",
    "Progress",
    "RequestError",
    "Role",
    "RunDirectory",
    "RunError",
    "RunRecord",
    "SamplingSettings",
    "Score",
    "Silent",
    "Split",
    "StepHook",
    "Tagged",
    "Tagger",
    "Task",
    "TextBlocks",
    "TokenLogprob",
    "Tokenizer",
    "WorkClock",
    "derive_seed",
    "did_you_mean",
    "parse_config",
    "permutation",
    "perplexity_of",
]
