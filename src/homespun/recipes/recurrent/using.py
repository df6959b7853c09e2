"""A recurrent language model in a folder: how likely it finds a text, and what it writes.

Shape letters: B texts that are written together, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import DataError, RequestError, parse_config
from homespun.core.files import atomic_path, read_json, text_error
from homespun.core.text import nfc
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import RecurrentLM
    from homespun.tokenizer import ByteLevelTokenizer

MODEL_FILE, WEIGHTS_FILE = "recurrent.json", "model.safetensors"


def save_recurrent(folder: Path, model: RecurrentLM) -> None:
    """Write the weights; the shape lies in `MODEL_FILE` since learning began."""
    import safetensors.torch

    from homespun.models import state_to_safetensors

    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        safetensors.torch.save_file(state_to_safetensors(model), temporary)


def score_texts(
    model: RecurrentLM, tokenizer: ByteLevelTokenizer, texts: Sequence[str]
) -> dict[str, Any]:
    """Bits per byte by the convention for all families, windows of the context included."""
    from homespun.evaluation import score_model

    score = score_model(model, tokenizer, texts)
    return {
        "bytes": score.num_bytes,
        "tokens": score.num_tokens,
        "bits_per_byte": score.nats / math.log(2) / max(1, score.num_bytes),
        "perplexity": score.perplexity,
    }


class OpenedRecurrent:
    """A model with its tokenizer.

    Args:
        model: in evaluation mode.
        tokenizer: that it was taught with.
    """

    def __init__(self, model: RecurrentLM, tokenizer: ByteLevelTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def score(self, texts: Sequence[str]) -> dict[str, Any]:
        """See `score_texts`."""
        return score_texts(self.model, self.tokenizer, texts)

    def score_file(self, path: Path) -> dict[str, Any]:
        """See `score_texts`; the file is one document.

        Raises:
            DataError: it is no UTF-8 text, or says nothing.
        """
        try:
            text = nfc(path.read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise text_error(error, path) from error
        if not text.strip():
            raise DataError(f"{path} says nothing", remedy="give a file with text")
        return self.score([text])

    def write(
        self,
        prompt: str = "",
        *,
        num: int = 1,
        max_tokens: int = 200,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Texts that go on from `prompt`, without it, until the model ends them. Of each token only
        the state is kept: they may be of any length.

        Args:
            num: texts, written together.
            temperature: of the draws; 0 always takes the likeliest.
            top_p: the likeliest tokens that together have this probability are drawn from.

        Raises:
            RequestError: a setting is out of range.
        """
        import torch

        from homespun.models import device_of

        if not (num > 0 and max_tokens > 0 and temperature >= 0 and 0 < top_p <= 1):
            raise RequestError(
                "num and max_tokens are 1 or more, temperature 0 or more, top_p within 0 … 1",
                got=f"num={num}, max_tokens={max_tokens}, temperature={temperature}, top_p={top_p}",
                remedy="take the defaults",
            )
        end, known = self.tokenizer.end_of_text_id, self.tokenizer.vocab_size
        draw, device = torch.Generator().manual_seed(seed), device_of(self.model)
        ids = [end, *map(int, self.tokenizer.encode(prompt))]
        written: list[list[int]] = [[] for _ in range(num)]
        with torch.inference_mode():
            hidden_BTD, state = self.model.read(torch.tensor([ids] * num, device=device), None)
            for _ in range(max_tokens):
                # Tokens are drawn on the processor, so that a seed means the same anywhere.
                scores_BV = self.model.head(hidden_BTD[:, -1]).float()[:, :known].cpu()
                next_B = _chosen(scores_BV, temperature, top_p, draw)
                for text, token in zip(written, next_B.tolist(), strict=True):
                    if not text or text[-1] != end:
                        text.append(token)
                if all(text[-1] == end for text in written):
                    break
                hidden_BTD, state = self.model.read(next_B[:, None].to(device), state)
        return [self.tokenizer.decode([i for i in text if i != end]) for text in written]


def _chosen(scores_BV: Tensor, temperature: float, top_p: float, draw: Any) -> Tensor:
    import torch

    if temperature == 0:
        return scores_BV.argmax(-1)
    likely_BV = (scores_BV / temperature).softmax(-1)
    if top_p < 1:
        sorted_BV, order_BV = likely_BV.sort(dim=-1, descending=True, stable=True)
        # A token stays where those before it have less than top_p together: one always does.
        sorted_BV[sorted_BV.cumsum(-1) - sorted_BV >= top_p] = 0.0
        likely_BV = torch.zeros_like(likely_BV).scatter_(-1, order_BV, sorted_BV)
    return torch.multinomial(likely_BV, 1, generator=draw)[:, 0]


def open_recurrent(folder: Path) -> OpenedRecurrent:
    """What `homespun recurrent learn` left.

    Raises:
        DataError: there is none, or it is not done. CheckpointError, ConfigError: it is damaged.
    """
    from homespun.models import RecurrentConfig, load_weights
    from homespun.models.interchange.shards import read_weights
    from homespun.tokenizer import load_tokenizer

    path = folder / MODEL_FILE
    if not path.is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise DataError(
            f"{folder} holds no recurrent model that is done",
            remedy="name the folder that `homespun recurrent learn` wrote, or let it end",
        )
    told = read_json(path)
    if not isinstance(told, dict) or not isinstance(told.get("model"), dict):
        raise DataError(f"{path} is damaged", remedy="learn the model again")
    shape = parse_config(RecurrentConfig, told["model"], where=str(path))
    import torch

    model = shape.build(torch.Generator().manual_seed(0))
    load_weights(model, read_weights(folder), where=str(folder))
    return OpenedRecurrent(model.to(training_device()).eval(), load_tokenizer(folder))
