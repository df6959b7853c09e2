"""What a model that writes one text from another takes of a request: the text, and how it is
written. What it cannot honour is refused by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from homespun.core import Message, SamplingSettings
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError

if TYPE_CHECKING:
    from homespun.serving.openai.fields import Sampling
    from homespun.serving.openai.messages import ChatMessage

REFUSED: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "stop_token_ids": ([],),
    "structured_outputs": (),
    "tools": ([],),
    "echo": (False,),
    "suffix": ("",),
    "instructions": ("",),
}
"""Fields it has no use for, and values of them that ask for nothing."""
_FILTERS = {"top_p": 1, "top_k": 0, "min_p": 0, "typical_p": 1}
"""What turns each off."""


def rewriting_settings(
    body: Sampling, settings: SamplingSettings, served: ServedModel, *, bound_by: str
) -> SamplingSettings:
    """As the engine of such a model wants them: its own search where nobody asks for a draw, by a
    temperature or a filter.

    Args:
        settings: those of the request for any model.
        bound_by: the field that `settings.constraint` comes from.

    Raises:
        ApiError: a field is asked for that it has not.
    """
    how = served.rewrites
    assert how is not None
    for name, neutral in REFUSED.items():
        value = getattr(body, name, None)
        if value is not None and value not in neutral:
            raise _refused(served, name)
    if settings.constraint is not None:
        raise _refused(served, bound_by)
    if settings.best_of > settings.num_answers:
        raise _refused(served, "best_of")
    is_drawn = body.temperature is not None or any(
        getattr(body, name) not in (None, off) for name, off in _FILTERS.items()
    )
    if is_drawn:
        return replace(settings, best_of=0)
    if settings.logprobs is not None:
        told = "log probabilities are of answers that are drawn token by token; give a temperature"
        raise ApiError(400, told, param="logprobs")
    most = max(1, how.beams)
    if settings.num_answers > most:
        told = (
            f"n is {settings.num_answers}, and '{served.name}' searches with {most} beams; ask "
            "for fewer, or give a temperature"
        )
        raise ApiError(400, told, param="n")
    return replace(
        settings,
        temperature=0.0,
        best_of=0,
        # One beam takes the likeliest token each time, and can tell it at once.
        beams=how.beams if how.beams > 1 else 0,
        length_penalty=how.length_penalty,
    )


def source_message(served: ServedModel, messages: Sequence[Message], *, param: str) -> Message:
    """The last message of a conversation, which is all that is read of it: turns before it were
    other texts.

    Raises:
        ApiError: there are instructions, which nobody would follow, or the last message is not the
            user's.
    """
    for at, message in enumerate(messages):
        if message.role == "system":
            told = f"'{served.name}' writes one text from another and follows no instructions"
            raise ApiError(
                400,
                f"{told}; leave the {message.role} message out",
                param=f"{param}.{at}.role",
                code="model_takes_no_instructions",
            )
    if messages[-1].role != "user":
        told = f"'{served.name}' reads the last message, which has to be the user's"
        raise ApiError(400, told, param=f"{param}.{len(messages) - 1}.role")
    return messages[-1]


def check_last(served: ServedModel, messages: Sequence[ChatMessage]) -> None:
    """Raises ApiError where the last message is more than a text that somebody wrote."""
    last, at = messages[-1], len(messages) - 1
    if last.role == "tool":
        raise _refused(served, f"messages.{at}.role")
    if last.name is not None:
        raise _refused(served, f"messages.{at}.name")


def check_source(served: ServedModel, text: str, *, param: str) -> None:
    """Raises ApiError where there is nothing to read."""
    if not text.strip():
        raise ApiError(400, f"there is nothing for '{served.name}' to read", param=param)


def _refused(served: ServedModel, name: str) -> ApiError:
    told = f"'{served.name}' writes one text from another, and {name} is not for it; leave it out"
    return ApiError(400, told, param=name, code="not_for_this_model")
