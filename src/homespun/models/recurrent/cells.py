"""One step of a recurrent layer, written as its paper has it. Slow; `model` uses torch's layers.

Shape letters: B batch, T time, D width in, H width of the state. Matrices of the gates lie one
under another as torch has them: of an LSTM input, forget, candidate, output; of a GRU reset,
update, candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class LayerWeights(NamedTuple):
    """Attributes:
    from_input, from_state: matrices of all gates, (gates · H, D) and (gates · H, H).
    input_bias, state_bias: (gates · H,).
    """

    from_input: Tensor
    from_state: Tensor
    input_bias: Tensor
    state_bias: Tensor


def layer_weights(layer: nn.RNNBase) -> LayerWeights:
    """Those of a layer of torch's that is one layer."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return LayerWeights(*(layer.get_parameter(name) for name in names))


class Gates(NamedTuple):
    """Attributes:
    from_input, from_state: what all gates get, before their biases.
    input_bias, state_bias: of each.
    """

    from_input: Tensor
    from_state: Tensor
    input_bias: Tensor
    state_bias: Tensor


def rnn_step(gates: Gates, state_BH: Tensor, cell_BH: Tensor) -> tuple[Tensor, Tensor]:
    """Elman 1990, "Finding structure in time": `h = tanh(W x + U h + b)`."""
    total = gates.from_input + gates.from_state + gates.input_bias + gates.state_bias
    return torch.tanh(total), cell_BH


def lstm_step(gates: Gates, state_BH: Tensor, cell_BH: Tensor) -> tuple[Tensor, Tensor]:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000:
    `c = f c + i g`, `h = o tanh(c)`."""
    del state_BH
    total = gates.from_input + gates.from_state + gates.input_bias + gates.state_bias
    enter, forget, candidate, leave = total.chunk(4, dim=-1)
    cell_BH = torch.sigmoid(forget) * cell_BH + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(cell_BH), cell_BH


def gru_step(gates: Gates, state_BH: Tensor, cell_BH: Tensor) -> tuple[Tensor, Tensor]:
    """Cho et al. 2014 (arXiv 1406.1078), the reset gate behind the product as in torch and cuDNN:
    `h = (1 - z) n + z h`, `n = tanh(W x + r (U h))`."""
    reset_x, update_x, new_x = (gates.from_input + gates.input_bias).chunk(3, dim=-1)
    reset_h, update_h, new_h = (gates.from_state + gates.state_bias).chunk(3, dim=-1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (1.0 - update) * new + update * state_BH, cell_BH


_STEPS: dict[str, Callable[[Gates, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "rnn": rnn_step,
    "lstm": lstm_step,
    "gru": gru_step,
}


def layer_obvious(
    kind: str, layer: nn.RNNBase, x_BTD: Tensor, state_BH: Tensor, cell_BH: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A whole layer, token by token: outputs (B, T, H), the last state and the last cell.

    Args:
        kind: rnn, lstm or gru.
        layer: torch's, of one layer, whose weights are used.
        x_BTD: its inputs.
        state_BH: before the first token.
        cell_BH: of an LSTM; handed through by the others.
    """
    w, u, input_bias, state_bias = layer_weights(layer)
    outputs = []
    for x_BD in x_BTD.unbind(1):
        gates = Gates(x_BD @ w.T, state_BH @ u.T, input_bias, state_bias)
        state_BH, cell_BH = _STEPS[kind](gates, state_BH, cell_BH)
        outputs.append(state_BH)
    return torch.stack(outputs, 1), state_BH, cell_BH
