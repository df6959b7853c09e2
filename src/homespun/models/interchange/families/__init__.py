"""One file a family: its names, and which of our settings it can say.

family    what a family must tell, and what those shaped like Llama have in common
rope      how scaled rotary positions are written in a config.json
llama mistral qwen gpt2
"""

from homespun.models.interchange.families.family import Family, Fields, unsupported
from homespun.models.interchange.families.gpt2 import GPT2
from homespun.models.interchange.families.llama import Llama, Mistral
from homespun.models.interchange.families.qwen import Qwen2, Qwen3

FAMILIES: tuple[Family, ...] = (Qwen3(), Llama(), Qwen2(), Mistral(), GPT2())
"""Of several that could say the same, the first is chosen."""

__all__ = ["FAMILIES", "Family", "Fields", "unsupported"]
