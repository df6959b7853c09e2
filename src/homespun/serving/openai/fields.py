"""Fields that several requests share, and what they mean to an engine.

Every model here is strict: a number in quotes is not a number, and a field nobody knows is refused
by its name. Nothing is ever ignored.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from homespun.core import Constraint, RequestError, SamplingSettings
from homespun.core.constraints import check_constraint
from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.openai.rewriting import rewriting_settings

MOST_TOKENS = 1_000_000
_SEEDS = 2**62
_LEAST_SHARE = 1e-9  # of 0, which OpenAI takes, the likeliest token is left
_MOST_FIELDS = 100
_MOST_BIAS = 100

ItemT = TypeVar("ItemT")
Listed = Annotated[list[ItemT], Field(fail_fast=True)]
"""A list of which the first item that is wrong is told. A body has room for a million of them: to
gather what is wrong with each takes gigabytes, and would hold everybody up for as long."""


def check_fields(given: Any) -> Any:
    """The same of a model's fields, of which each that nobody knows would be told. Raises
    ValueError where there are more than any model has."""
    if isinstance(given, dict) and len(given) > _MOST_FIELDS:
        raise ValueError(f"there are {len(given)} fields, and {_MOST_FIELDS} are more than any has")
    return given


def few(most: int) -> BeforeValidator:
    """The same of an object whose keys are the client's own: it has `most` entries at most."""

    def check(given: Any) -> Any:
        if isinstance(given, dict) and len(given) > most:
            raise ValueError(f"it has {len(given)} entries, and {most} are the most")
        return given

    return BeforeValidator(check)


def _first_wrong(given: Any) -> Any:
    """The same of biases, of which there may be as many as the server's settings say: the first
    that is wrong alone, or all of them."""
    if isinstance(given, dict):
        for name, bias in given.items():
            is_number = isinstance(bias, int | float) and not isinstance(bias, bool)
            if not is_number or abs(bias) > _MOST_BIAS:
                return {name: bias}
    return given


class Strict(BaseModel):
    """Base of all requests. A field that is null is one that is not there, whatever its name: some
    programs send all that OpenAI has. Of much that is wrong the first is told, see `Listed`."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return check_fields({key: value for key, value in given.items() if value is not None})


Count = Annotated[int, Field(ge=1, le=MOST_TOKENS)]


Word = Annotated[str, Field(max_length=256)]


Bias = Annotated[float, Field(ge=-_MOST_BIAS, le=_MOST_BIAS)]


# Where one model is served, nobody has to name it.
ModelName = Annotated[str, Field(min_length=1, max_length=256)] | None


TemplateOptions = Annotated[dict[str, bool | Word], few(16)]
"""vLLM's chat_template_kwargs: values of names that the model's chat template asks for, such as
`enable_thinking` of Qwen3's. A name that it does not ask for is refused."""


class StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JsonSchema(Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Strict):
    """`text`, `json_object` for any JSON object, or `json_schema`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def schema_of_answer(self) -> dict[str, Any] | None:
        """None where any text will do. Raises ApiError where the schema is missing, or there is one
        nobody asked for."""
        if (self.json_schema is not None) != (self.type == "json_schema"):
            told = "a json_schema goes with the type 'json_schema', and the type with a json_schema"
            raise ApiError(400, told, param="response_format.json_schema")
        if self.type == "text":
            return None
        schema = None if self.json_schema is None else self.json_schema.schema_
        return {"type": "object"} if schema is None else schema


class StructuredOutputs(Strict):
    """vLLM's: the answer's text as a whole is one of these."""

    json_: Annotated[dict[str, Any] | None, Field(alias="json")] = None
    regex: str | None = None
    choice: Listed[str] | None = None
    grammar: str | None = None

    def constraint(self) -> Constraint:
        given = [name for name, value in self.model_dump().items() if value is not None]
        if len(given) != 1:
            told = "structured_outputs takes one of json, regex, choice, grammar"
            raise ApiError(400, told, param="structured_outputs")
        if self.json_ is not None:
            return json_constraint(self.json_)
        if self.regex is not None:
            return Constraint(kind="regex", text=self.regex)
        if self.choice is not None:
            return Constraint(kind="choice", choices=tuple(self.choice))
        return Constraint(kind="grammar", text=self.grammar or "")


def check_bound(constraint: Constraint | None, param: str) -> None:
    """Raises ApiError, with the name of the field it comes from, where a constraint is too deep or
    too large: told at once, before anything is queued."""
    if constraint is None:
        return
    try:
        check_constraint(constraint)
    except RequestError as error:
        raise ApiError(400, str(error), param=param, code="invalid_constraint") from error


def json_constraint(schema: dict[str, Any]) -> Constraint:
    return Constraint(kind="json_schema", text=json.dumps(schema, ensure_ascii=False))


class Sampling(Strict):
    """How an answer is made: OpenAI's fields, and those of vLLM's that the engine knows."""

    model: ModelName = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | Listed[str] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, Bias], BeforeValidator(_first_wrong)] | None = None
    user: Word | None = None
    safety_identifier: Word | None = None
    prompt_cache_key: Word | None = None
    # Not OpenAI's.
    top_k: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    min_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[Listed[int], Field(max_length=64)] | None = None
    structured_outputs: StructuredOutputs | None = None

    @property
    def sharers(self) -> tuple[str | None, ...]:
        """Who shares what is remembered of prompts: those who say the same here, of one key."""
        return (self.user, self.safety_identifier, self.prompt_cache_key)

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def wants_padding(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_obfuscation)

    def settings(
        self,
        limits: ServerConfig,
        served: ServedModel,
        *,
        max_tokens: int | None,
        logprobs: int | None = None,
        best_of: int = 0,
        constraint: Constraint | None = None,
        bound_by: str = "response_format",
    ) -> SamplingSettings:
        """As the engine wants them. Raises ApiError with the name of the field that is wrong.

        Args:
            bound_by: the field that `constraint` comes from.
        """
        if self.stream_options is not None and not self.stream:
            told = "stream_options go with 'stream': true"
            raise ApiError(400, told, param="stream_options")
        if self.structured_outputs is not None:
            if constraint is not None:
                told = "response_format, tools and structured_outputs exclude each other"
                raise ApiError(400, told, param="structured_outputs")
            constraint = self.structured_outputs.constraint()
            bound_by = "structured_outputs"
        check_bound(constraint, bound_by)
        most = max(self.n or 1, best_of)
        if most > limits.most_answers:
            param = "n" if (self.n or 1) == most else "best_of"
            told = f"{param} is {most}, and {limits.most_answers} answers are the most"
            raise ApiError(400, told, param=param)
        seed = secrets.randbelow(_SEEDS) if self.seed is None else self.seed % _SEEDS
        settings = SamplingSettings(
            max_tokens=MOST_TOKENS if max_tokens is None else max_tokens,
            min_tokens=self.min_tokens or 0,
            temperature=_or(self.temperature, 1.0),
            top_k=self.top_k or 0,
            top_p=max(_or(self.top_p, 1.0), _LEAST_SHARE),
            min_p=_or(self.min_p, 0.0),
            typical_p=_or(self.typical_p, 1.0),
            repetition_penalty=_or(self.repetition_penalty, 1.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            presence_penalty=_or(self.presence_penalty, 0.0),
            logit_bias=self._biases(limits, served),
            seed=seed,
            stop=self._stops(limits),
            stop_tokens=self._stop_tokens(served),
            ignore_end=bool(self.ignore_eos),
            logprobs=logprobs,
            num_answers=self.n or 1,
            best_of=best_of,
            constraint=constraint,
        )
        if served.rewrites is None:
            return settings
        return rewriting_settings(self, settings, served, bound_by=bound_by)

    def _stops(self, limits: ServerConfig) -> tuple[str, ...]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stops) > limits.most_stops:
            told = f"stop has {len(stops)} texts, and {limits.most_stops} are the most"
            raise ApiError(400, told, param="stop")
        for stop in stops:
            if not 1 <= len(stop) <= limits.longest_stop:
                told = f"a stop text has 1 to {limits.longest_stop} characters"
                raise ApiError(400, f"{told}, this one has {len(stop)}", param="stop")
        return tuple(stops)

    def _stop_tokens(self, served: ServedModel) -> tuple[int, ...]:
        return tuple(_token(token, served, "stop_token_ids") for token in self.stop_token_ids or ())

    def _biases(self, limits: ServerConfig, served: ServedModel) -> tuple[tuple[int, float], ...]:
        biases = self.logit_bias or {}
        if len(biases) > limits.most_biases:
            told = f"logit_bias has {len(biases)} entries, and {limits.most_biases} are the most"
            raise ApiError(400, told, param="logit_bias")
        for name in biases:
            if not (name.isascii() and name.isdigit() and len(name) <= 10):
                told = f"'{name[:32]}' in logit_bias is not the id of a token"
                raise ApiError(400, told, param="logit_bias")
        return tuple(
            (_token(int(name), served, "logit_bias"), value) for name, value in biases.items()
        )


def _token(token: int, served: ServedModel, param: str) -> int:
    most = served.tokenizer.vocab_size - 1
    if not 0 <= token <= most:
        raise ApiError(400, f"token ids run from 0 to {most}, got {token}", param=param)
    return token


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
