"""Chinese in one script, simplified or traditional characters, by OpenCC."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from homespun.core.errors import ConfigError

if TYPE_CHECKING:
    from opencc import OpenCC

_CONVERTERS = {"simplified": "t2s", "traditional": "s2t"}
SCRIPTS = tuple(_CONVERTERS)


def in_script(texts: Sequence[str], script: str) -> list[str]:
    """`texts` with all their Chinese in `script`. Which traditional character is meant words
    decide: 发 is 發 in 发现 and 髮 in 头发. Everything else stays.

    Raises:
        ConfigError: there is no such script. ModuleNotFoundError: opencc is not installed.
    """
    if script not in _CONVERTERS:
        raise ConfigError(
            "Chinese has no such script", got=script, remedy=f"take {' or '.join(SCRIPTS)}"
        )
    converter = _converter(_CONVERTERS[script])
    return [converter.convert(text) for text in texts]


@cache
def _converter(name: str) -> OpenCC:
    from opencc import OpenCC

    return OpenCC(name)
