"""A GPU that is pretended: its tensors keep their numbers in the processor's memory, and every
operation that mixes them with the processor's own fails, as it would on a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

DEVICE = torch.device("meta")
"""Of its tensors: a name that torch knows on every machine, and that nothing else here uses."""
_OPS = torch.ops.aten
_MAY_MIX = (
    _OPS.lstm.data,
    _OPS.gru.data,
    _OPS.rnn_tanh.data,
    _OPS.index.Tensor,
    _OPS.index_put.default,
    _OPS.index_put_.default,
    _OPS._index_put_impl_.default,
)
"""Places to look at may be on the processor, lengths of rows must be."""


class OnGpu(torch.Tensor):
    """A tensor of it; `inner` has the numbers."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnGpu:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.inner})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("a tensor of another device is no NumPy array: call cpu() first")

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """`torch.tensor` makes its tensor where no dispatch sees it."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


def _plain(value: Any) -> Any:
    return value.inner if isinstance(value, OnGpu) else value


def _there(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or isinstance(value, OnGpu):
        return value
    with torch.inference_mode(False):  # a view of what training made must be of its kind
        return OnGpu(value)


def _leaves(value: Any) -> Iterator[Any]:
    """What stands in `value`, in whatever tuples, lists and dictionaries. Torch's own way knows
    more kinds of those, and would take most of the time of all that is done here."""
    if isinstance(value, tuple | list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    else:
        yield value


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """`value` with `change(leaf)` for each of its leaves."""
    if isinstance(value, tuple | list):
        made = [_mapped(change, part) for part in value]
        return made if isinstance(value, list) else tuple(made)
    if isinstance(value, dict):
        return {name: _mapped(change, part) for name, part in value.items()}
    return change(value)


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = list(_leaves((args, kwargs)))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    is_there = any(isinstance(tensor, OnGpu) for tensor in tensors)
    plain_args = _mapped(_plain, args)
    if func is _OPS._to_copy.default:
        wish = kwargs.get("device")
        rest = {name: value for name, value in kwargs.items() if name != "device"}
        copy = func(*plain_args, **rest)
        goes_there = is_there if wish is None else torch.device(wish) == DEVICE
        return _there(copy) if goes_there else copy
    if func is _OPS.copy_.default:
        func(*plain_args, **kwargs)
        return args[0]
    wish = kwargs.get("device")
    if wish is not None:
        made = func(*plain_args, **{**kwargs, "device": "cpu"})
        return _there(made) if torch.device(wish) == DEVICE else made
    if not is_there:
        return func(*args, **kwargs)
    if func is _OPS._pack_padded_sequence.default:  # lengths are the processor's, always
        packed, sizes = func(*plain_args, **kwargs)
        return _there(packed), sizes
    if func is _OPS._pad_packed_sequence.default:
        padded, lengths = func(*plain_args, **kwargs)
        return _there(padded), lengths
    others = [tuple(t.shape) for t in tensors if not isinstance(t, OnGpu) and t.dim() > 0]
    if others and func not in _MAY_MIX:
        raise RuntimeError(f"{func}: tensors on two devices, of the processor's {others}")
    if any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{func}: the processor's generator draws on another device")
    found = func(*plain_args, **_mapped(_plain, kwargs))
    if func is _OPS._local_scalar_dense.default:
        return found
    return return_and_correct_aliasing(func, args, kwargs, _mapped(_there, found))


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """While the block runs there is one; gives its device."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Made(), _Dispatch():
            yield DEVICE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
