"""Parts beyond the plain decoder, each of which can be left out; see `DecoderConfig`.

kinds    what each parameter is, for optimisers
"""

from homespun.models.extras.kinds import ParameterKind, kind_of

__all__ = ["ParameterKind", "kind_of"]
