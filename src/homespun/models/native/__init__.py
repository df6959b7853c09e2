"""Training kernels written in C and compiled, in about three seconds, for the machine they run on.

kernels.c     what all kernels share; includes the others, once for each type of element
lanes.h       vector registers: sums, exponentials, bfloat16; under
elementwise.h, loss.h   norms, rotation, activations; cross entropy with its gradient: one pass each
tiles.h       matrix products that stay in cache, for
attention.h   attention, forward and backward, and
product.h     large float32 products, where the usual library is not the fastest
table.h       rows of an n-gram table
build       what the kernels are compiled from
library     the compiled functions, on tensors
functions   the same with gradients
active      which kernels the present block of code uses: `with use_kernels(kernels): …`

Without them, everything is computed by torch alone, with the same meaning and other rounding: which
of the two a run uses is therefore part of its settings, never a matter of the moment.
"""

from homespun.models.native.active import active_kernels, use_kernels
from homespun.models.native.build import kernels_by_name, load_kernels
from homespun.models.native.library import NativeKernels

__all__ = [
    "NativeKernels",
    "active_kernels",
    "kernels_by_name",
    "load_kernels",
    "use_kernels",
]
