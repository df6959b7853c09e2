"""One model's weights made into another's, as pure functions of tensors and configs.

average       the mean of several models' weights
grow          more layers, more width, the same function
vocabulary    rows for new tokens
rope_scaling  rotary positions for a longer context (a part of `DecoderConfig`)

Import the modules themselves: `rope_scaling` is used by the config that the others use.
"""

__all__: list[str] = []
