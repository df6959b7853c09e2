"""/set: how answers are sampled, by name."""

from __future__ import annotations

import dataclasses

from homespun.core import RequestError, SamplingSettings, did_you_mean

_KINDS = {"int": int, "float": float}


def settable() -> dict[str, str]:
    """Names of the settings that can be changed, with the kind of their values."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(SamplingSettings)}
    told = {"num_answers", "best_of"}  # a conversation has one answer to a question
    return {name: kind for name, kind in fields.items() if kind in _KINDS and name not in told}


def shown(settings: SamplingSettings) -> str:
    """Those that are not at their defaults, and the most usual ones."""
    usual = ("temperature", "top_k", "top_p", "max_tokens", "seed")
    names = [name for name in settable() if name in usual or _is_changed(settings, name)]
    return ", ".join(f"{name}={getattr(settings, name)}" for name in names)


def changed(settings: SamplingSettings, words: str) -> SamplingSettings:
    """With the changes of "temperature=0.5 top_k=40".

    Raises:
        RequestError: a word is none of these, or the value cannot be.
    """
    from homespun.inference import check_settings

    kinds = settable()
    for word in words.replace(",", " ").split():
        name, _, value = word.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if name not in kinds:
            raise RequestError(
                f"there is no setting '{name}'", remedy=did_you_mean(name, list(kinds))
            )
        kind = kinds[name]
        try:
            number = _KINDS[kind](value)
        except ValueError as error:
            told = "a whole number" if kind == "int" else "a number"
            raise RequestError(
                f"{name} must be {told}",
                got=value,
                remedy=f"write {name}={getattr(settings, name)}",
            ) from error
        settings = dataclasses.replace(settings, **{name: number})
    check_settings(settings)
    return settings


def _is_changed(settings: SamplingSettings, name: str) -> bool:
    return bool(getattr(settings, name) != getattr(SamplingSettings(), name))
