"""A decoder as a graph of OpenVINO, whose state is the cache of keys and values.

B rows, T new tokens, S tokens in all, H heads, G heads of keys, K head width, D width, V scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig


def vino_model(library: Any, model: Decoder, config: DecoderConfig, *, is_int8: bool) -> Any:
    """The decoder: `ids` (B, T), `positions` (T) of all rows alike and `rows` (B), from which of
    the state's rows each goes on, to `scores` (B, V) after the last token.

    Built of operations, as OpenVINO's own readers of model files do: tracing a module of torch
    would keep the lengths it was traced with.

    Args:
        library: the module `openvino`.
        is_int8: matrices are whole numbers of 8 bits with a scale and a zero for each output, as
            OpenVINO's tools round them; the processor's plug-in unpacks them within its products.
    """
    return _Graph(library, model, config, is_int8).built()


_HIDDEN = -65504.0  # the least number of float16


class _Graph:
    def __init__(self, library: Any, model: Decoder, config: DecoderConfig, is_int8: bool) -> None:
        self._library = library
        self._ops: Any = library.opset13
        self._model, self._config, self._is_int8 = model, config, is_int8
        ops = self._ops
        self._ids = ops.parameter([-1, -1], np.int64, name="ids")
        self._positions = ops.parameter([-1], np.int64, name="positions")
        self._rows = ops.parameter([-1], np.int32, name="rows")
        self._sinks: list[Any] = []

    def built(self) -> Any:
        ops, config, model = self._ops, self._config, self._model
        table = self._matrix(model.embedding.weight)
        x_BTD = ops.gather(table, self._ids, self._whole(0))
        positions: Any = model.positions
        if config.positions == "learned":
            places = ops.gather(self._floats(positions.weight), self._positions, self._whole(0))
            x_BTD = ops.add(x_BTD, places)
        turns = self._turns() if config.positions == "rotary" else None
        seen = self._seen()
        for number, block in enumerate(model.blocks):
            attention: Any = block.attention
            h_BTD = self._norm(x_BTD, block.attention_norm, config.width)
            x_BTD = ops.add(x_BTD, self._attention(number, attention, h_BTD, turns, seen))
            h_BTD = self._norm(x_BTD, block.mlp_norm, config.width)
            x_BTD = ops.add(x_BTD, self._mlp(block.mlp, h_BTD))
        last_BD = ops.gather(x_BTD, self._whole(-1), self._whole(1))
        last_BD = self._norm(last_BD, model.norm, config.width)
        head = table if config.tied else self._matrix(model.head_weight)
        scores_BV = ops.matmul(last_BD, head, False, True)
        scores_BV.output(0).set_names({"scores"})
        parameters = [self._ids, self._positions, self._rows]
        return self._library.Model([ops.result(scores_BV)], self._sinks, parameters, "decoder")

    def _attention(self, number: int, attention: Any, h_BTD: Any, turns: Any, seen: Any) -> Any:
        ops, config = self._ops, self._config
        H, G, K = config.num_heads, config.num_kv_heads, config.head_width
        q_BHTK = self._heads(self._linear(h_BTD, attention.query), H, attention.query_norm)
        k_BGTK = self._heads(self._linear(h_BTD, attention.key), G, attention.key_norm)
        v_BGTK = self._heads(self._linear(h_BTD, attention.value), G, None)
        if turns is not None:
            q_BHTK, k_BGTK = self._turned(q_BHTK, turns), self._turned(k_BGTK, turns)
        k_BGSK = self._kept(f"keys {number}", k_BGTK)
        v_BGSK = self._kept(f"values {number}", v_BGTK)
        if H > G:
            k_BGSK, v_BGSK = self._repeated(k_BGSK), self._repeated(v_BGSK)
        out_BHTK = ops.scaled_dot_product_attention(q_BHTK, k_BGSK, v_BGSK, seen)
        out_BTHK = ops.transpose(out_BHTK, self._whole([0, 2, 1, 3]))
        return self._linear(ops.reshape(out_BTHK, self._whole([0, 0, H * K]), True), attention.out)

    def _mlp(self, mlp: Any, h_BTD: Any) -> Any:
        ops, up = self._ops, self._linear(h_BTD, mlp.up)
        if self._config.activation == "swiglu":
            return self._linear(
                ops.multiply(ops.swish(self._linear(h_BTD, mlp.gate)), up), mlp.down
            )
        return self._linear(ops.gelu(up, "tanh"), mlp.down)

    def _heads(self, x_BTE: Any, num: int, norm: Any) -> Any:
        ops, width = self._ops, self._config.head_width
        x_BTHK = ops.reshape(x_BTE, self._whole([0, 0, num, width]), True)
        if norm is not None:
            x_BTHK = self._norm(x_BTHK, norm, width)
        return ops.transpose(x_BTHK, self._whole([0, 2, 1, 3]))

    def _kept(self, name: str, new_BGTK: Any) -> Any:
        """What the state held, the new ones behind it, which it holds from now on."""
        ops, config = self._ops, self._config
        G, K = config.num_kv_heads, config.head_width
        num_rows = ops.shape_of(self._rows, "i64")
        shape = ops.concat([num_rows, self._whole([G, 0, K])], 0)
        none = ops.broadcast(ops.constant(np.float32(0)), shape)
        float32 = self._library.Type.f32
        old = ops.read_value(none, name, float32, self._library.PartialShape([-1, G, -1, K]))
        old = ops.gather(old, self._rows, self._whole(0))
        all_BGSK = ops.concat([old, new_BGTK], 2)
        self._sinks.append(ops.assign(all_BGSK, name))
        return all_BGSK

    def _repeated(self, x_BGSK: Any) -> Any:
        """Each head of keys for all the queries that share it."""
        ops, config = self._ops, self._config
        H, G, K = config.num_heads, config.num_kv_heads, config.head_width
        x = ops.unsqueeze(x_BGSK, self._whole(2))
        shape = ops.concat(
            [
                ops.gather(ops.shape_of(x_BGSK, "i64"), self._whole([0, 1]), self._whole(0)),
                self._whole([H // G]),
                ops.gather(ops.shape_of(x_BGSK, "i64"), self._whole([2, 3]), self._whole(0)),
            ],
            0,
        )
        x = ops.broadcast(x, shape, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(x, self._whole([0, H, -1, K]), True)

    def _seen(self) -> Any:
        """(B, 1, T, S): 0 where a query sees a key, else a number that leaves it no weight. For
        each row anew: in bfloat16 the plug-in's attention reads beyond one that is for all."""
        ops = self._ops
        last = ops.gather(self._positions, self._whole(-1), self._whole(0))
        stop = ops.add(last, ops.constant(np.int64(1)))
        keys_S = ops.range(self._whole(0), stop, self._whole(1), "i64")
        queries_T1 = ops.unsqueeze(self._positions, self._whole(1))
        none, most = ops.constant(np.float32(0)), ops.constant(np.float32(_HIDDEN))
        bias_TS = ops.select(ops.less_equal(keys_S, queries_T1), none, most)
        parts = [ops.shape_of(self._rows, "i64"), self._whole([1]), ops.shape_of(bias_TS, "i64")]
        return ops.broadcast(bias_TS, ops.concat(parts, 0))

    def _turns(self) -> tuple[Any, Any]:
        """Cosines and sines of the positions, (1, 1, T, K)."""
        ops, config = self._ops, self._config
        places_K2 = np.arange(0, config.head_width, 2) / config.head_width
        angles = np.arange(config.context)[:, None] * config.rope_base**-places_K2
        angles = np.concatenate([angles, angles], 1)
        found = []
        for table in (np.cos(angles), np.sin(angles)):
            constant = ops.constant(table.astype(np.float32))
            rows = ops.gather(constant, self._positions, self._whole(0))
            found.append(ops.unsqueeze(rows, self._whole([0, 1])))
        return found[0], found[1]

    def _turned(self, x_BHTK: Any, turns: tuple[Any, Any]) -> Any:
        ops = self._ops
        halves = ops.split(x_BHTK, self._whole(3), 2)
        behind = ops.multiply(halves.output(1), ops.constant(np.float32(-1)))
        other = ops.concat([behind, halves.output(0)], 3)
        return ops.add(ops.multiply(x_BHTK, turns[0]), ops.multiply(other, turns[1]))

    def _norm(self, x: Any, norm: Any, width: int) -> Any:
        ops, eps = self._ops, self._config.norm_eps
        axis, weight = self._whole([-1]), self._floats(norm.weight)
        if self._config.norm == "layer" and width == self._config.width:
            return ops.add(
                ops.multiply(ops.mvn(x, axis, True, eps, "inside_sqrt"), weight),
                self._floats(norm.bias),
            )
        square = ops.reduce_mean(ops.power(x, ops.constant(np.float32(2))), axis, True)
        root = ops.sqrt(ops.add(square, ops.constant(np.float32(eps))))
        return ops.multiply(ops.multiply(x, ops.divide(ops.constant(np.float32(1)), root)), weight)

    def _linear(self, x: Any, linear: Any) -> Any:
        y = self._ops.matmul(x, self._matrix(linear.weight), False, True)
        return y if linear.bias is None else self._ops.add(y, self._floats(linear.bias))

    def _matrix(self, weight: Any) -> Any:
        if not self._is_int8:
            return self._floats(weight)
        ops = self._ops
        whole_ND, scale_N1, zero_N1 = rounded(weight.detach().float().numpy())
        shifted = ops.subtract(
            ops.convert(ops.constant(whole_ND), "f16"), ops.convert(ops.constant(zero_N1), "f16")
        )
        return ops.convert(ops.multiply(shifted, ops.constant(scale_N1)), "f32")

    def _floats(self, tensor: Any) -> Any:
        return self._ops.constant(tensor.detach().float().numpy())

    def _whole(self, numbers: Any) -> Any:
        return self._ops.constant(np.array(numbers, dtype=np.int64))


def rounded(weight_ND: Any) -> tuple[Any, Any, Any]:
    """Of each row 256 steps from its least to its greatest number: whole numbers, the step in
    float16, and the whole number that stands for 0."""
    least_N1 = np.minimum(weight_ND.min(1, keepdims=True), 0)
    most_N1 = np.maximum(weight_ND.max(1, keepdims=True), 0)
    scale_N1 = np.maximum((most_N1 - least_N1) / 255, 1e-7).astype(np.float16)
    step_N1 = scale_N1.astype(np.float32)
    zero_N1 = np.clip(np.rint(-least_N1 / step_N1), 0, 255)
    whole_ND = np.clip(np.rint(weight_ND / step_N1) + zero_N1, 0, 255)
    return whole_ND.astype(np.uint8), scale_N1, zero_N1.astype(np.uint8)
