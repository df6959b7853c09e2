"""From a prompt to text: any number of requests at once, always reproducible.

engine     takes requests, advances all of them by a token or a chunk of a prompt at a time
request    what may be asked, checked before anything is computed; what is answered
scheduler  which rows read what in a step
blocks     the cache's blocks: who uses which, and which texts they hold
jobs, answer, tickets  from a request to its answers, and a stream of the text
runners, native, choice  what computes: torch over blocks, or one compiled step
sampling   from scores to tokens
search     ways to an answer: token by token, beams, contrastive, guesses ahead
stream     from ids to text that is safe to show: whole characters, nothing of a stop string
chat       a conversation that stays within the window
stats      what an engine tells of itself
reference  the same without cache, batch and tensors, slow and obvious

The engine owns the cache; models only append to it. See docs/design/engine.md.
"""

from homespun.inference.chat import ChatSession
from homespun.inference.choice import Kernels
from homespun.inference.engine import Engine
from homespun.inference.native import WeightKind
from homespun.inference.reference import (
    reference_beams,
    reference_contrastive,
    reference_generate,
    reference_prompt_logprobs,
    reference_sample,
)
from homespun.inference.request import Output, Request, check_settings
from homespun.inference.runners import CachedDecoder
from homespun.inference.runners.vectors import mean_states, mean_states_obvious
from homespun.inference.search.writing import write_texts
from homespun.inference.stats import EngineStats
from homespun.inference.stream import Utf8Streamer
from homespun.inference.tickets import TextStream

__all__ = [
    "CachedDecoder",
    "ChatSession",
    "Engine",
    "EngineStats",
    "Kernels",
    "Output",
    "Request",
    "TextStream",
    "Utf8Streamer",
    "WeightKind",
    "check_settings",
    "mean_states",
    "mean_states_obvious",
    "reference_beams",
    "reference_contrastive",
    "reference_generate",
    "reference_prompt_logprobs",
    "reference_sample",
    "write_texts",
]
