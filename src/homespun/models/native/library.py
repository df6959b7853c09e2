"""The compiled functions, on tensors. They check nothing that `functions` can know.

Shape letters: N rows, D width, B batch, T time, H query heads, G key-value heads, K head width,
V vocabulary, F any number of units, X tables, P histories, M n-grams.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_float, c_int, c_int64, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor

PARTS = 16
"""As in kernels.c: shares of a sum over rows."""

ATTENTION_BLOCK = 48
"""Queries whose scores are in cache at once; measured, see docs/design/models.md."""


class _Strides(ctypes.Structure):
    _fields_ = [(name, c_int64) for name in ("batch", "head", "token")]


class _AttentionShape(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("batch", "heads", "kv_heads", "tokens", "width", "block")),
        ("scale", c_float),
        *((name, _Strides) for name in ("q", "k", "v", "out", "dq", "dk", "dv", "dout")),
        ("bias", c_void_p),
        ("bias_batch", c_int64),
    ]


class _Matrix(ctypes.Structure):
    _fields_ = [("at", c_void_p), ("row", c_int64), ("column", c_int64)]


class _TableOrder(ctypes.Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("histories", "starts", "words", "mass", "backoff")),
        *((name, c_int64) for name in ("num_grams", "num_histories")),
    ]


class _Copied(ctypes.Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("at", "odds")),
        *((name, c_int64) for name in ("most", "stride")),
    ]


class TableOrder(NamedTuple):
    """The n-grams of one order, as `prior.tables` has them, and the rows that are looked up.

    Attributes:
        histories_N: the history of each row, int64, -1 where it was never seen.
        starts_P: where the n-grams of each history begin, int64, one more than histories.
        words_M: their last words, int32.
        mass_XM, backoff_XP: float32, a row for each table.
    """

    histories_N: Tensor
    starts_P: Tensor
    words_M: Tensor
    mass_XM: Tensor
    backoff_XP: Tensor


class NativeKernels:
    """Calls into the shared library that `build` made.

    All tensors are contiguous except matrices of products, of which one dimension is, and those of
    attention, whose last dimension is.

    Args:
        library: made of kernels.c.

    Attributes:
        has_product: whether `product` is the fastest float32 product here. A matter of the
            processor, never of the moment.

    Raises:
        AttributeError: a function is missing.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._product = library.product
        self._by_type = {
            (name, dtype): getattr(library, f"{name}_{suffix}")
            for name in (
                *("rms_norm", "rms_norm_backward", "rotate"),
                *("gated_silu", "gated_silu_backward", "squared_relu", "squared_relu_backward"),
                *("cross_entropy", "attention", "attention_backward"),
            )
            for dtype, suffix in ((torch.float32, "float"), (torch.bfloat16, "bf16"))
        }
        self._table_rows, self._find_copies = library.table_rows, library.find_copies
        untyped = (self._product, self._table_rows, self._find_copies)
        for function in (*untyped, *self._by_type.values()):
            function.restype = None
        self.has_product = bool(library.has_product())

    def rms_norm(self, x_ND: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """`y_ND`, and the factor of each row, float32, which the backward pass wants."""
        width = x_ND.shape[-1]
        rows = x_ND.numel() // width
        y_ND, factor_N = torch.empty_like(x_ND), x_ND.new_empty(rows, dtype=torch.float32)
        self._by_type["rms_norm", x_ND.dtype](
            *_pointers(x_ND, weight_D, y_ND, factor_N), c_int64(rows), c_int64(width), c_float(eps)
        )
        return y_ND, factor_N

    def rms_norm_backward(
        self, x_ND: Tensor, weight_D: Tensor, factor_N: Tensor, grad_ND: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of `x_ND` and `weight_D`."""
        rows, width = len(factor_N), x_ND.shape[-1]
        dx_ND, dweight_D = torch.empty_like(x_ND), torch.empty_like(weight_D)
        parts = weight_D.new_zeros(PARTS, width)
        self._by_type["rms_norm_backward", x_ND.dtype](
            *_pointers(x_ND, weight_D, factor_N, grad_ND, dx_ND, parts, dweight_D),
            c_int64(rows),
            c_int64(width),
        )
        return dx_ND, dweight_D

    def rotate(self, x_BTHK: Tensor, cos: Tensor, sin: Tensor, direction: float) -> Tensor:
        """`x_BTHK` turned by tables of (T, H, K) or (B, T, H, K), -1 for backwards."""
        *_, heads, width = x_BTHK.shape
        y_BTHK = torch.empty_like(x_BTHK)
        self._by_type["rotate", x_BTHK.dtype](
            *_pointers(x_BTHK, cos, sin, y_BTHK),
            c_int64(x_BTHK.numel() // (heads * width)),
            c_int64(cos.shape[:-2].numel()),
            c_int64(cos.stride(-3)),
            c_int64(heads),
            c_int64(width),
            c_float(direction),
        )
        return y_BTHK

    def elementwise(self, name: str, inputs: tuple[Tensor, ...], num_outputs: int) -> list[Tensor]:
        """Outputs of an activation or its backward pass, shaped as the inputs."""
        outputs = [torch.empty_like(inputs[0]) for _ in range(num_outputs)]
        function = self._by_type[name, inputs[0].dtype]
        function(*_pointers(*inputs, *outputs), c_int64(inputs[0].numel()))
        return outputs

    def cross_entropy(
        self,
        scores_NV: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        prior: tuple[Tensor, Tensor] | None = None,
        *,
        gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        """Nats of each row; with `gradient`, `scores_NV` become their gradients.

        Args:
            scores_NV: float32 or bfloat16.
            targets_N: ids, int64.
            softcap: bound of the scores.
            prior: float32 log probabilities (N, V), rows contiguous, and what they are multiplied
                by (N,).
            gradient: see above.

        Returns:
            the nats, and the gradient of the multipliers where both are wanted (else undefined).
        """
        nats_N = torch.empty_like(targets_N, dtype=torch.float32)
        slopes_N = torch.empty_like(nats_N)
        known = [c_void_p(None)] * 2
        if prior is not None:
            prior = prior[0], prior[1].contiguous()
            known = _pointers(*prior)
        self._by_type["cross_entropy", scores_NV.dtype](
            *_pointers(scores_NV, targets_N),
            *known,
            *_pointers(nats_N, slopes_N),
            *map(c_int64, scores_NV.shape),
            c_int64(0 if prior is None else prior[0].stride(0)),
            c_float(softcap or 0.0),
            c_int(gradient),
        )
        return nats_N, slopes_N

    def product(
        self, a_NK: Tensor, b_KM: Tensor, *, plus: Tensor | None = None, out: Tensor | None = None
    ) -> Tensor:
        """`a @ b (+ plus)` in float32, contiguous; `plus` too. `out` may be `plus`."""
        (rows, depth), columns = a_NK.shape, b_KM.shape[1]
        a_NK, b_KM = _one_way_contiguous(a_NK), _one_way_contiguous(b_KM)
        out = a_NK.new_empty(rows, columns) if out is None else out
        self._product(
            ctypes.byref(_Matrix(a_NK.data_ptr(), *a_NK.stride())),
            ctypes.byref(_Matrix(b_KM.data_ptr(), *b_KM.stride())),
            c_void_p(None if plus is None else plus.data_ptr()),
            *_pointers(out),
            *(c_int64(number) for number in (rows, columns, depth, torch.get_num_threads())),
        )
        return out

    def table_rows(
        self,
        unigram_XV: Tensor,
        tables_N: Tensor,
        orders: Sequence[TableOrder],
        num_words: int,
        *,
        copies: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Log probabilities (N, num_words) after each row's histories.

        Args:
            unigram_XV: of each table.
            tables_N: int64.
            orders: 2, 3, …, at most 64.
            num_words: the first ones of V.
            copies: lengths and followers of each row, int64 with rows contiguous, and the odds of
                each length, float32; see `prior.copies`.
        """
        parts = (_TableOrder * len(orders))(
            *(
                _TableOrder(
                    *(tensor.data_ptr() for tensor in order),
                    order.mass_XM.shape[1],
                    order.backoff_XP.shape[1],
                )
                for order in orders
            )
        )
        out_NV = unigram_XV.new_empty(len(tables_N), num_words)
        mixed = _Copied()
        if copies is not None:
            copies_NC, odds_L = copies
            most, stride = copies_NC.shape[1] - 1, copies_NC.stride(0)
            mixed = _Copied(copies_NC.data_ptr(), odds_L.data_ptr(), most, stride)
        self._table_rows(
            parts,
            c_int64(len(orders)),
            *_pointers(unigram_XV, tables_N, out_NV),
            *map(c_int64, (len(tables_N), unigram_XV.shape[1], num_words, num_words)),
            ctypes.byref(mixed),
        )
        return out_NV

    def find_copies(
        self, ids_BT: Tensor, begins_BT: Tensor | None, *, last: int, longest: int, most: int
    ) -> Tensor:
        """Runs that stood before, int64, (B, last, 1 + most): see `prior.copies`.

        Args:
            ids_BT: int64.
            begins_BT: int64, where the text of each token begins; None for the first column.
        """
        B, T = ids_BT.shape
        out_BTC = ids_BT.new_empty(B, last, 1 + most)
        begins = c_void_p(None if begins_BT is None else begins_BT.data_ptr())
        self._find_copies(
            *_pointers(ids_BT),
            begins,
            *_pointers(out_BTC),
            *map(c_int64, (B, T, last, longest, most)),
        )
        return out_BTC

    def attention(
        self, q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, bias_BTT: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Causal attention: the result, and log-sum-exp of the scores (B, H, T) in float32."""
        out_BHTK = _heads_last(q_BHTK)
        lse_BHT = q_BHTK.new_empty(q_BHTK.shape[:3], dtype=torch.float32)
        shape = _shape(bias_BTT, q=q_BHTK, k=k_BGTK, v=v_BGTK, out=out_BHTK)
        tensors = _pointers(q_BHTK, k_BGTK, v_BGTK, out_BHTK, lse_BHT)
        self._by_type["attention", q_BHTK.dtype](ctypes.byref(shape), *tensors)
        return out_BHTK, lse_BHT

    def attention_backward(
        self, saved: tuple[Tensor, ...], grad_BHTK: Tensor, bias_BTT: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of q, k and v; `saved` is q, k, v, result and log-sum-exp."""
        q, k, v, out, _ = saved
        grads = _heads_last(q), _heads_last(k), _heads_last(v)
        named = dict(zip(("dq", "dk", "dv"), grads, strict=True))
        shape = _shape(bias_BTT, q=q, k=k, v=v, out=out, dout=grad_BHTK, **named)
        tensors = _pointers(*saved, grad_BHTK, *grads)
        self._by_type["attention_backward", q.dtype](ctypes.byref(shape), *tensors)
        return grads


def _pointers(*tensors: Tensor) -> list[c_void_p]:
    return [c_void_p(tensor.data_ptr()) for tensor in tensors]


def _one_way_contiguous(x_NM: Tensor) -> Tensor:
    return x_NM if 1 in x_NM.stride() and 0 not in x_NM.stride() else x_NM.contiguous()


def _heads_last(like_BHTK: Tensor) -> Tensor:
    """Uninitialised, (B, H, T, K) but in memory (B, T, H, K), as the products around want it."""
    B, H, T, K = like_BHTK.shape
    return like_BHTK.new_empty(B, T, H, K).transpose(1, 2)


def _shape(bias_BTT: Tensor | None, **tensors: Tensor) -> _AttentionShape:
    q, k = tensors["q"], tensors["k"]
    B, H, T, K = q.shape
    strides: dict[str, Any] = {
        name: _Strides(*tensor.stride()[:3]) for name, tensor in tensors.items()
    }
    shape = _AttentionShape(B, H, k.shape[1], T, K, ATTENTION_BLOCK, K**-0.5, **strides)
    if bias_BTT is not None:
        shape.bias = bias_BTT.data_ptr()
        shape.bias_batch = 0 if len(bias_BTT) == 1 else T * T
    return shape
