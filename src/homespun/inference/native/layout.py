"""The structs of decode.c, field by field."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int64, c_void_p

import numpy as np


class Matrix(ctypes.Structure):
    _fields_ = [
        ("rows", c_int64),
        ("cols", c_int64),
        ("kind", c_int64),
        ("data", c_void_p),
        ("scales", c_void_p),
    ]


class Inputs(ctypes.Structure):
    _fields_ = [
        ("x", c_void_p),
        ("stride", c_int64),
        ("rounded", c_void_p),
        ("scale", c_void_p),
        ("shift", c_void_p),
    ]


class Layer(ctypes.Structure):
    _fields_ = [
        *((name, Matrix) for name in ("qkv", "out", "up", "down")),
        *(
            (name, c_void_p)
            for name in (
                *("attention_norm", "mlp_norm", "query_norm", "key_norm"),
                *("value_gate", "head_gate", "value_table"),
                *("attention_shift", "mlp_shift"),
                *("qkv_bias", "out_bias", "up_bias", "down_bias"),
            )
        ),
        *((name, c_float) for name in ("residual", "first", "bigram")),
        ("window", c_int64),
        ("keys", c_void_p),
        ("values", c_void_p),
    ]


class Ngrams(ctypes.Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("keys", "starts", "words", "mass", "backoff")),
        ("num", c_int64),
    ]


class Table(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("num_orders", "num_words")),
        ("orders", ctypes.POINTER(Ngrams)),
        *((name, c_void_p) for name in ("unigram", "odds", "gate")),
        ("base", c_float),
    ]


class Model(ctypes.Structure):
    _fields_ = [
        *(
            (name, c_int64)
            for name in (
                *("num_layers", "width", "heads", "kv_heads", "head_width", "mlp_width"),
                *("vocab_size", "context", "stride", "activation"),
                *("is_layer_norm", "has_qk_norm", "has_mix"),
                *("has_embedding_norm", "gate_channels", "smear_channels", "bigram_rows"),
                *("has_first", "keeps_bf16"),
            )
        ),
        *((name, c_float) for name in ("norm_eps", "softcap", "smear_factor")),
        *(
            (name, c_void_p)
            for name in (
                *("embedding", "embedding_norm", "final_norm", "smear", "bigram_table"),
                *("cosines", "sines", "final_shift", "position_table"),
            )
        ),
        ("head", Matrix),
        ("layers", ctypes.POINTER(Layer)),
        ("table", ctypes.POINTER(Table)),
    ]


class Step(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("num_tokens", "num_spans", "num_scores")),
        *(
            (name, c_void_p)
            for name in (
                *("ids", "previous", "first", "count", "start", "blocks"),
                *("known", "num_before", "wanted", "scores", "hidden"),
            )
        ),
    ]


class Scratch(ctypes.Structure):
    _fields_ = [
        *(
            (name, c_void_p)
            for name in (
                *("x", "first", "bigram", "h", "qkv", "mixed", "up", "scores", "gathered"),
            )
        ),
        *(
            (name, c_int64)
            for name in ("qkv_stride", "up_stride", "scores_stride", "score_rows_stride")
        ),
        *((name, Inputs) for name in ("inputs", "in_mixed", "in_up", "in_head")),
        ("attention", c_void_p),
        ("attention_size", c_int64),
        ("position", c_void_p),
        ("table_room", c_void_p),
    ]


class Chooser(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("seed", "place", "top_k")),
        *((name, c_float) for name in ("temperature", "top_p", "min_p")),
        *((name, c_int64) for name in ("limit", "num_top")),
    ]


MOST_TOP = 20
REPORT = np.dtype([("ids", np.int32, MOST_TOP), ("logprobs", np.float32, MOST_TOP), ("own", "f4")])
"""What is told of a token: the likeliest ones, and its own log probability."""


class Burst(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("num_rows", "most", "num_words")),
        *(
            (name, c_void_p)
            for name in (
                *("ids", "previous", "start", "blocks", "known", "num_before"),
                *("choosers", "ends", "chosen", "num_chosen", "powers", "candidates"),
                "reports",
            )
        ),
    ]
