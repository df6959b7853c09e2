"""The LSTM of pytorch/examples (word_language_model), trained as its own main.py trains it.

Shape letters: N steps of a column, C columns.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.core import ConfigError
from homespun.core.machine import num_threads
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.bench.validation import validation_pass
from homespun.recipes.families.contenders import Judged
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from torch import Tensor

MODEL_FILE = "word_language_model/model.py"
# Its own defaults: --lr, --clip, --batch_size, --bptt, --dropout, --emsize, --nhid, --nlayers.
_RATE, _CLIP, _COLUMNS, _PIECE, _DROPOUT, _WIDTH, _LAYERS = 20.0, 0.25, 20, 35, 0.2, 200, 2


def check_checkout(path: Path) -> None:
    """Raises ConfigError where `path` is no checkout of pytorch/examples."""
    if not (path / MODEL_FILE).is_file():
        raise ConfigError(
            f"{path} is not a checkout of pytorch/examples",
            got=f"no {MODEL_FILE} in it",
            remedy="clone github.com/pytorch/examples and give its folder",
        )


def judge_pytorch_lstm(
    text: TokenText,
    *,
    seconds: float,
    seed: int,
    context: int,
    checkout: Path,
    clock: Callable[[], float] = time.monotonic,
) -> Judged:
    """Twenty columns, 35 steps of gradients, plain SGD at 20, a quarter of the rate whenever an
    epoch did not help; an epoch that the time cuts off counts as it is. The time for judging after
    each epoch is the peer's, as in its script.

    Args:
        clock: seconds, of which `seconds` are counted.

    Raises:
        ConfigError: `checkout` is none.
    """
    import torch

    from homespun.training import set_threads

    check_checkout(checkout)
    set_threads(num_threads())
    torch.manual_seed(seed)
    code = _module(checkout / MODEL_FILE)
    model = code.RNNModel("LSTM", text.vocab_size, _WIDTH, _WIDTH, _LAYERS, _DROPOUT, False)
    model.to(training_device())
    train_NC = _columns(text.train, _COLUMNS).to(training_device())
    rate, best, tokens = _RATE, math.inf, 0
    began = clock()
    while clock() - began < seconds:
        model.train()
        hidden = model.init_hidden(_COLUMNS)
        for start in range(0, len(train_NC) - 1, _PIECE):
            if clock() - began >= seconds:
                break
            stop = min(start + _PIECE, len(train_NC) - 1)
            hidden = tuple(part.detach() for part in hidden)
            model.zero_grad()
            log_probs, hidden = model(train_NC[start:stop], hidden)
            loss = torch.nn.functional.nll_loss(
                log_probs, train_NC[start + 1 : stop + 1].reshape(-1)
            )
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(parameter.grad, alpha=-rate)
            tokens += (stop - start) * _COLUMNS
        else:
            loss_now = _loss(model, text, context, max_windows=64)
            if loss_now < best:
                best = loss_now
            else:
                rate /= 4
    model.eval()
    found = validation_pass(
        lambda ids, targets: _score(model, ids, targets),
        text.held_out,
        context=context,
        stride=max(1, context // 2),
    )
    size = sum(parameter.numel() for parameter in model.parameters())
    return Judged(
        found.nats, found.predictions, tokens, size, f"{_LAYERS} layers of {_WIDTH}, its own SGD"
    )


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("pytorch_examples_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _columns(stream: Any, num: int) -> Tensor:
    """The stream as `num` columns, each going on with the text down its length."""
    import torch

    length = len(stream) // num
    return torch.from_numpy(
        np.ascontiguousarray(stream[: length * num].astype(np.int64).reshape(num, length).T)
    )


def _loss(model: Any, text: TokenText, context: int, *, max_windows: int) -> float:
    model.eval()
    return validation_pass(
        lambda ids, targets: _score(model, ids, targets),
        text.held_out,
        context=context,
        max_windows=max_windows,
    ).loss


def _score(model: Any, ids_BT: Tensor, targets_BT: Tensor) -> float:
    """Summed nats; the peer's model wants time first."""
    import torch.nn.functional as F

    device = next(model.parameters()).device
    log_probs, _ = model(ids_BT.T.contiguous().to(device), model.init_hidden(len(ids_BT)))
    wanted_N = targets_BT.T.reshape(-1).to(device)
    return float(F.nll_loss(log_probs.float(), wanted_N, reduction="sum"))
