"""The hand-fused step: from ids to scores, or to the next tokens, in one call of compiled C.

common.h     vectors, exponentials
pool.h       threads that wait for tasks
matmul.h     products with packed weights: float32, bfloat16, 8 and 4 bits
pairs.h      products with keys and values in bfloat16
attention.h  attention over blocks
sample.h     greedy and sampled tokens
table.h      what an n-gram table and the context itself say comes next
decode.c     the forward pass, and bursts of tokens
build        compiles it for this machine, once, by core.compile
pack         weights as matmul.h reads them
layout       the structs of decode.c
describe     a decoder as decode.c reads it
threads      whether several are still faster than one
runner       what the engine runs

Every number is added up in one order, whatever the batch, the chunk and the threads.
"""

from homespun.inference.native.build import NotCompiledError, load_library
from homespun.inference.native.pack import WEIGHT_KINDS, WeightKind, packed, unpacked
from homespun.inference.native.runner import NativeRunner

__all__ = [
    "WEIGHT_KINDS",
    "NativeRunner",
    "NotCompiledError",
    "WeightKind",
    "load_library",
    "packed",
    "unpacked",
]
