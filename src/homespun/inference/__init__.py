"""From a prompt to text: one request or several, always reproducible.

request    what may be asked, checked before anything is computed; how far an answer is
engine     reads prompts, chooses token after token, keeps the cache for the next request
kv_cache   keys and values of the tokens read so far
sampler    from logits to the next token
stream     from ids to text that is safe to show: whole characters, nothing of a stop string
chat       a conversation that stays within the window
reference  the same without cache and tensor filters, slow and obvious

The engine owns the cache; models only append to it. Messages come from the tokenizer's template.
"""

from homespun.inference.chat import ChatSession
from homespun.inference.engine import CachedDecoder, Engine, TextStream
from homespun.inference.kv_cache import KVCache
from homespun.inference.reference import reference_generate, reference_sample
from homespun.inference.request import check_settings
from homespun.inference.sampler import sample
from homespun.inference.stream import Utf8Streamer

__all__ = [
    "CachedDecoder",
    "ChatSession",
    "Engine",
    "KVCache",
    "TextStream",
    "Utf8Streamer",
    "check_settings",
    "reference_generate",
    "reference_sample",
    "sample",
]
