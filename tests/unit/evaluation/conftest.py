"""A tiny decoder, a byte tokenizer and a generator that says what it is told."""

from collections.abc import Iterator, Sequence

import pytest
import torch

from homespun.core import Completion, RequestError, SamplingSettings, Tokenizer
from homespun.models import Decoder, DecoderConfig
from homespun.tokenizer import TokenizerConfig, train_tokenizer


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer(["abc"], config=TokenizerConfig(kind="byte"))


def build_decoder(tokenizer: Tokenizer, *, context: int) -> Decoder:
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=2,
        width=16,
        num_heads=2,
        num_kv_heads=1,
        head_width=8,
        mlp_width=24,
        context=context,
    )
    model = config.build(torch.Generator().manual_seed(0))
    with torch.no_grad():  # freshly built scores are nearly flat; make them differ
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model


@pytest.fixture(scope="session")
def tiny_decoder(byte_tokenizer: Tokenizer) -> Decoder:
    return build_decoder(byte_tokenizer, context=16)


@pytest.fixture(scope="session")
def wide_decoder(byte_tokenizer: Tokenizer) -> Decoder:
    """The same weights with a context that holds a conversation."""
    return build_decoder(byte_tokenizer, context=256)


class Parrot:
    """A core.Generator that continues every prompt with given texts in turn."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], *, window: int = 10_000) -> None:
        self.tokenizer = tokenizer
        self.texts = list(texts)
        self.window = window
        self.prompts: list[list[int]] = []
        self.settings: list[SamplingSettings] = []

    def generate(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> Completion:
        if len(prompt_ids) > self.window:
            raise RequestError("the prompt is too long", got=len(prompt_ids))
        text = self.texts[len(self.prompts) % len(self.texts)]
        self.prompts.append(list(prompt_ids))
        self.settings.append(settings)
        ids = tuple(int(token) for token in self.tokenizer.encode(text))
        return Completion(text, ids, "stop", len(prompt_ids), 0.0)

    def stream(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> Iterator[str]:
        yield self.generate(prompt_ids, settings).text


@pytest.fixture
def make_parrot(byte_tokenizer: Tokenizer):  # type: ignore[no-untyped-def]
    def make(*texts: str, window: int = 10_000) -> Parrot:
        return Parrot(byte_tokenizer, texts, window=window)

    return make
