"""Neural networks: the blocks and the families built from them.

linear, embedding, norm, position, mlp   the small parts, fp32 weights and any compute dtype
attention, causal   grouped-query attention; `causal` is the fast path for processors
cross_entropy       the loss straight from hidden states
native              the same parts compiled from C for the machine at hand, for training
extras              parts beyond the plain decoder; what kind each parameter is
decoder, config     the decoder-only Transformer and its shape
encoder, encoder_decoder, recurrent   the other families: BERT's, T5's, LSTM and its kin
presets             sizes that have names, any other shape, and the presets portable and fast
cache               what attention asks of a key-value cache (the engine implements it)
weights, interchange   flat dictionaries of tensors; Hugging Face folders both ways, GGUF
count               parameters, operations, bytes

Every fast function has an `…_obvious` one beside it, slow and plain, and a test that they agree.
Models never advance a cache, never print, and know nothing of training or sampling.
"""

from homespun.models.cache import KeyValueCache
from homespun.models.config import DecoderConfig
from homespun.models.count import (
    MemoryEstimate,
    ParameterCount,
    cache_bytes_per_token,
    count_parameters,
    forward_flops_per_token,
    memory_by_kind,
    memory_bytes,
    parameters_by_kind,
    train_flops_per_token,
)
from homespun.models.cross_entropy import cross_entropy_from_hidden
from homespun.models.decoder import Block, Decoder, best_compute_dtype
from homespun.models.encoder import (
    Encoder,
    EncoderConfig,
    load_bert,
    mean_pooled,
    read_bert,
    read_encoder,
    write_encoder,
)
from homespun.models.encoder_decoder import (
    EncoderDecoder,
    EncoderDecoderConfig,
    Ensemble,
    KnownTokens,
    Remembered,
    Rewriter,
    T5Marks,
    Trust,
    is_own_writer,
    load_t5,
    read_encoder_decoder,
    read_t5,
    read_t5_marks,
    write_encoder_decoder,
)
from homespun.models.extras import ParameterKind, num_multiplied
from homespun.models.interchange import (
    GgufFacts,
    Quantization,
    export_gguf,
    export_hf,
    load_hf,
    read_hf,
    read_hf_config,
)
from homespun.models.presets import (
    Preset,
    decoder_shape,
    decoder_size,
    decoder_sizes,
    not_portable,
    preset_of,
    preset_options,
)
from homespun.models.prior import NgramPrior, OrderTable
from homespun.models.recurrent import RecurrentConfig, RecurrentLM
from homespun.models.weights import device_of, load_weights, state_to_safetensors

__all__ = [
    "Block",
    "Decoder",
    "DecoderConfig",
    "Encoder",
    "EncoderConfig",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "Ensemble",
    "GgufFacts",
    "KeyValueCache",
    "KnownTokens",
    "MemoryEstimate",
    "NgramPrior",
    "OrderTable",
    "ParameterCount",
    "ParameterKind",
    "Preset",
    "Quantization",
    "RecurrentConfig",
    "RecurrentLM",
    "Remembered",
    "Rewriter",
    "T5Marks",
    "Trust",
    "best_compute_dtype",
    "cache_bytes_per_token",
    "count_parameters",
    "cross_entropy_from_hidden",
    "decoder_shape",
    "decoder_size",
    "decoder_sizes",
    "device_of",
    "export_gguf",
    "export_hf",
    "forward_flops_per_token",
    "is_own_writer",
    "load_bert",
    "load_hf",
    "load_t5",
    "load_weights",
    "mean_pooled",
    "memory_by_kind",
    "memory_bytes",
    "not_portable",
    "num_multiplied",
    "parameters_by_kind",
    "preset_of",
    "preset_options",
    "read_bert",
    "read_encoder",
    "read_encoder_decoder",
    "read_hf",
    "read_hf_config",
    "read_t5",
    "read_t5_marks",
    "state_to_safetensors",
    "train_flops_per_token",
    "write_encoder",
    "write_encoder_decoder",
]
