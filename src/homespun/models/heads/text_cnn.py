"""TextCNN (Kim 2014, arXiv 1408.5882): filters over neighbouring words, the best of each kept.

Shape letters: B batch, T time, D width of vectors, F filters of a width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.embedding import Embedding
from homespun.models.extras import ParameterKind
from homespun.models.extras.dropout import dropped
from homespun.models.linear import Linear

WIDTHS = (3, 4, 5)


class TextCnn(nn.Module):
    """Scores of classes from a text's words.

    Args:
        vocab_size: number of token ids.
        num_outputs: C.
        width: D.
        num_filters: F, of each width.
        widths: words a filter sees.
        context: longest text in tokens.
        is_multi: any number of classes may be right.
        dropout: share of the pooled numbers that is left out while training, 0.5 in the paper.
        word_dropout: share of words that are hidden while training.
    """

    def __init__(  # noqa: PLR0913 - one number a part
        self,
        vocab_size: int,
        num_outputs: int,
        *,
        width: int = 128,
        num_filters: int = 100,
        widths: Sequence[int] = WIDTHS,
        context: int = 256,
        is_multi: bool = False,
        dropout: float = 0.5,
        word_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.context, self.is_multi = context, is_multi
        self.dropout, self.word_dropout = dropout, word_dropout
        self.embedding = Embedding(vocab_size, width)
        self.filters = nn.ModuleList(
            Linear(size * width, num_filters, bias=True) for size in widths
        )
        self.widths = tuple(widths)
        self.out = Linear(num_filters * len(widths), num_outputs, bias=True)

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Draw weights: vectors uniform within 0.25, as in the paper; filters N(0, 2/fan-in)."""
        self.embedding.weight.uniform_(-0.25, 0.25, generator=generator)
        for layer in self.filters:
            assert isinstance(layer, Linear)
            layer.weight.normal_(0.0, (2.0 / layer.in_width) ** 0.5, generator=generator)
            assert layer.bias is not None
            layer.bias.zero_()
        self.out.weight.zero_()
        assert self.out.bias is not None
        self.out.bias.zero_()

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """It computes in float32 always: there is too little arithmetic for it to matter."""

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, by name and in the order of `named_parameters`."""
        kinds: dict[str, ParameterKind] = {}
        for name, parameter in self.named_parameters():
            kind: ParameterKind = "matrix" if name.startswith("filters") else "head"
            kind = "embedding" if name.startswith("embedding") else kind
            kinds[name] = "scalar" if parameter.ndim == 1 else kind
        return kinds

    def forward(self, ids_BT: Tensor, is_token_BT: Tensor, types_BT: Tensor) -> Tensor:
        """Scores (B, C) in float32; a filter that no place of a text is wide enough for sees zeros
        beside it."""
        del types_BT
        x_BTD = self.embedding(ids_BT)
        keep_BT = is_token_BT
        if self.training and self.word_dropout:
            keep_BT = keep_BT & (torch.rand(ids_BT.shape) >= self.word_dropout).to(keep_BT.device)
        x_BTD = x_BTD * keep_BT[..., None]
        pooled = []
        for size, layer in zip(self.widths, self.filters, strict=True):
            side = size - 1
            padded_BTD = F.pad(x_BTD, (0, 0, side, side))
            # (B, T + side, size · D): each place with its neighbours, wholly or partly in the text.
            windows = padded_BTD.unfold(1, size, 1).transpose(2, 3).flatten(2)
            found_BTF = F.relu(layer(windows))
            is_in_BT = F.pad(is_token_BT, (side, side)).unfold(1, size, 1).any(-1)
            pooled.append(found_BTF.masked_fill(~is_in_BT[..., None], 0.0).amax(1))
        pooled_BF = torch.cat(pooled, 1)
        pooled_BF = dropped(pooled_BF, self.dropout) if self.training else pooled_BF
        scores_BC: Tensor = self.out(pooled_BF)
        return scores_BC

    def loss_sum(self, scores_BC: Tensor, targets: Tensor) -> Tensor:
        """Summed nats over texts, as `heads.Classifier`."""
        if self.is_multi:
            nats_BC = F.binary_cross_entropy_with_logits(
                scores_BC, targets.float(), reduction="none"
            )
            return nats_BC.mean(1).sum()
        return F.cross_entropy(scores_BC, targets, reduction="sum")
