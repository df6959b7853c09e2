"""Randomness that depends on names, not on how often something was called before."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that is a function of `seed` and `names` alone (SHA-256)."""
    key = "\x1f".join([str(seed), *map(str, names)]).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1


def permutation(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """The order of `length` items in `epoch`: a function of (seed, epoch, length) alone."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(derive_seed(seed, "order", epoch))).permutation(
        length
    )
