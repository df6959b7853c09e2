"""What each parameter is, so that each kind can be given its own learning rate."""

from __future__ import annotations

from torch import nn

from homespun.models import ParameterKind


def parameter_kinds(model: nn.Module) -> dict[str, ParameterKind]:
    """The kind of each parameter by name.

    A model that has a method `parameter_kinds` says so itself. Of any other:

    - "matrix": the 2-D parameters of repeated blocks (anything inside an `nn.ModuleList`) that are
      not an embedding's;
    - "embedding": tables whose module is an embedding; "head": other parameters of two or more
      dimensions, a shared table counting as the embedding it is named after;
    - "norm": vectors of a normalisation; "scalar": other vectors, biases and single numbers.
    """
    own = getattr(model, "parameter_kinds", None)
    if own is not None:
        said: dict[str, ParameterKind] = own()
        return said
    owners = {
        f"{prefix}.{name}" if prefix else name: module
        for prefix, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
    blocks = tuple(
        f"{name}." if name else ""
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
    )
    kinds: dict[str, ParameterKind] = {}
    for name, parameter in model.named_parameters():
        owner = type(owners[name]).__name__
        if parameter.ndim < 2:
            kinds[name] = "norm" if "Norm" in owner else "scalar"
        elif "Embedding" in owner:
            kinds[name] = "embedding"
        else:
            in_block = parameter.ndim == 2 and name.startswith(blocks)
            kinds[name] = "matrix" if in_block else "head"
    return kinds
