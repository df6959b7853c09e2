"""Models from other homes and for them; nothing of what a folder holds is ever executed.

families      what GPT-2, Llama, Mistral, Qwen2 and Qwen3 call their parts and settings
hf            folders of Hugging Face `transformers`, both ways
shards        the weights in such a folder, checked before anything is believed
fold          a model with parts that others lack, as a plain one that computes the same
gguf          the one file that llama.cpp reads, quantised or not
"""

from homespun.models.interchange.gguf import GgufFacts, Quantization, export_gguf, refuse_gguf
from homespun.models.interchange.hf import (
    export_hf,
    load_hf,
    read_hf,
    read_hf_config,
    refuse_export,
)

__all__ = [
    "GgufFacts",
    "Quantization",
    "export_gguf",
    "export_hf",
    "load_hf",
    "read_hf",
    "read_hf_config",
    "refuse_export",
    "refuse_gguf",
]
