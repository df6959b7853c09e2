"""A run as a person uses it: generate, chat, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import (
    Completion,
    ConfigError,
    HomespunError,
    OptionTokenizer,
    RequestError,
    RunDirectory,
    RunError,
    SamplingSettings,
    Tokenizer,
    did_you_mean,
)
from homespun.core.files import read_json
from homespun.recipes.prior.kept import record_path
from homespun.recipes.process import prepare_process

if TYPE_CHECKING:
    import torch

    from homespun.inference import ChatSession, Engine, Kernels, WeightKind
    from homespun.models import Decoder, DecoderConfig

STAGES = ("sft", "pretrain")  # the newest first: what a run answers with


class Run:
    """A finished or half-finished run, opened for use. Nothing heavy is loaded before it is needed.

    Args:
        path: the run directory, such as "runs/python".
        stage: "sft" or "pretrain"; by default the chat fine-tune where there is one.
        weights, kernels, max_rows, kv_tokens, num_threads: how the engine keeps weights, what
            computes, how many answers at once, how much it remembers, and on how many threads it
            computes; see `inference.Engine`.
        device: where it computes; "auto" is a GPU where there is one. On one that multiplies
            bfloat16 the model computes in it.

    Raises:
        RunError: there is no run in `path`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        stage: str | None = None,
        weights: WeightKind = "float32",
        kernels: Kernels = "auto",
        device: str = "auto",
        max_rows: int | None = None,
        kv_tokens: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        prepare_process()
        self.weights: WeightKind = weights
        self._kernels: Kernels = kernels
        self._device, self._max_rows, self._kv_tokens = device, max_rows, kv_tokens
        self._num_threads = num_threads
        self.directory = RunDirectory.open(path)
        self._stage = stage

    def __repr__(self) -> str:
        return f"Run({str(self.directory.path)!r})"

    @property
    def path(self) -> Path:
        return self.directory.path

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from homespun.tokenizer import open_tokenizer

        return open_tokenizer(self.path)

    @property
    def stage(self) -> str:
        """The training stage whose weights are used."""
        if self._stage is not None:
            return self._stage
        for name in STAGES:
            if (self.directory.stage(name) / "done.json").is_file():
                return name
        raise RunError(
            f"no model has been trained in {self.path} yet",
            remedy=f"continue with `homespun pretrain {self.path}` or the `homespun spin` command "
            "it was started with",
        )

    @cached_property
    def config(self) -> DecoderConfig:
        """The model's shape, as planned."""
        from homespun.models import DecoderConfig
        from homespun.recipes.plan import read_plan

        return DecoderConfig(**read_plan(self.directory).model)

    @cached_property
    def model(self) -> Decoder:
        """The decoder with its final weights, in fp32, ready to generate."""
        from homespun.recipes.weights import load_model

        return load_model(self.directory, self.stage)

    @property
    def objective(self) -> str:
        """What pretraining taught: "causal", "prefix" or "blank"."""
        from homespun.recipes.plan import read_plan

        if not self.directory.plan.is_file():
            return "causal"  # the stage says what is missing
        return read_plan(self.directory).objective

    @cached_property
    def engine(self) -> Engine:
        from homespun.inference import Engine

        device = chosen_device(self._device)
        return Engine(
            self.model.to(device),
            self.tokenizer,
            num_threads=self._num_threads,
            compute_dtype=answering_dtype(device),
            device=device,
            weights=self.weights,
            kernels=self._kernels,
            kv_tokens=self._kv_tokens,
            **({} if self._max_rows is None else {"max_rows": self._max_rows}),
        )

    @property
    def can_chat(self) -> bool:
        """It was taught to chat here, or came with a chat template."""
        from homespun.tokenizer import ImportedTokenizer

        if self.stage == "sft":
            return True
        tokenizer = self.tokenizer
        return isinstance(tokenizer, ImportedTokenizer) and tokenizer.chat_template is not None

    def generate(self, prompt: str, **sampling: Any) -> Completion:
        """Continue `prompt`, or fill its blanks where the model has learned that. Keyword arguments
        are those of `SamplingSettings`."""
        if self.objective != "causal":
            from homespun.recipes.learn.behind import write_both_ways

            return write_both_ways(self, prompt, _settings(sampling))
        return self.engine.generate(self.prompt_ids(prompt), _settings(sampling))

    def stream(self, prompt: str, **sampling: Any) -> Iterator[str]:
        """Like `generate`, piece by piece."""
        return self.engine.stream(self.prompt_ids(prompt), _settings(sampling))

    def chat_session(
        self, *, system: str | None = None, options: Mapping[str, bool | str] | None = None
    ) -> ChatSession:
        """A conversation with the model.

        Args:
            system: who the model is to be.
            options: values of names that its chat template asks for.

        Raises:
            RunError: the run has no chat fine-tune. RequestError: the template does not ask for an
                option.
        """
        from homespun.inference import ChatSession
        from homespun.tokenizer.chat import check_options

        if not self.can_chat:
            raise RunError(
                f"{self.path} has not learnt to chat",
                remedy=f"run `homespun finetune chat {self.path}`, or continue text with "
                f"`homespun generate {self.path}`",
            )
        tokenizer = self.tokenizer
        known = tokenizer.chat_options if isinstance(tokenizer, OptionTokenizer) else frozenset()
        check_options(options or {}, known)
        return ChatSession(
            self.engine,
            self.tokenizer,
            context=self.model.context,
            system=system,
            options=options,
        )

    def chat(self, text: str, *, system: str | None = None, **sampling: Any) -> str:
        """Answer one message, without history."""
        if not text.strip():
            raise RequestError("the message is empty", remedy="say something")
        session = self.chat_session(system=system)
        return "".join(session.ask(text, _settings({"temperature": 0.3, **sampling})))

    def export_hf(self, out: Path | str) -> Path:
        """Write a Hugging Face directory that `transformers` loads without custom code."""
        from homespun.recipes.weights import export

        return export(self, Path(out))

    def export_gguf(self, out: Path | str, *, quantization: str = "f16") -> Path:
        """Write one file that llama.cpp reads, its weights as "f16", "q8_0" or "q4_0"."""
        from homespun.recipes.weights import write_gguf

        return write_gguf(self, Path(out), quantization)

    def prompt_ids(self, prompt: str) -> list[int]:
        """What the model reads of `prompt`: the mark before a text, where it knows one, and ids."""
        ids = [*self.tokenizer.start_ids, *map(int, self.tokenizer.encode(prompt))]
        return ids or [self.tokenizer.end_of_text_id]


def chosen_device(name: str) -> torch.device:
    """The device of that name, "auto" the GPU where there is one. Raises ConfigError where there
    is no such device."""
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError("a device is auto, cpu or cuda", got=name, remedy="take auto")
    if name == "cuda" and not has_gpu:
        raise ConfigError("there is no GPU that PyTorch can use here", remedy="take --device cpu")
    return torch.device(name)


def answering_dtype(device: torch.device) -> torch.dtype:
    """What a model answers in: float32 on a processor, and on a GPU what that is fast in."""
    import torch

    from homespun.models import best_compute_dtype

    return torch.float32 if device.type == "cpu" else best_compute_dtype(device)


def _settings(sampling: dict[str, Any]) -> SamplingSettings:
    try:
        return SamplingSettings(**sampling)
    except TypeError as error:
        known = list(SamplingSettings.__dataclass_fields__)
        unknown = next(key for key in sampling if key not in known)
        raise RequestError(
            f"unknown sampling setting '{unknown}'", remedy=did_you_mean(unknown, known)
        ) from error


def open_run(
    path: Path | str,
    *,
    stage: str | None = None,
    weights: WeightKind = "float32",
    kernels: Kernels = "auto",
    device: str = "auto",
) -> Run:
    """Open the run in `path`, see `Run`. Raises RunError where there is none."""
    return Run(path, stage=stage, weights=weights, kernels=kernels, device=device)


class RunSummary(NamedTuple):
    """A line of `homespun runs`; `ngrams` are those of the table beside the model."""

    name: str
    path: Path
    stage: str
    created: str
    parameters: int | None
    bits_per_byte: float | None
    minutes: float
    ngrams: int | None = None


def list_runs(runs: Path | str = "runs") -> list[RunSummary]:
    """The runs in a folder, newest first. A damaged run is listed as such, not hidden."""
    folder = Path(runs)
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (path / "run.json").is_file():
            found.append(_summary(path))
    return sorted(found, key=lambda summary: summary.created, reverse=True)


def _summary(path: Path) -> RunSummary:
    run = RunDirectory(path)
    try:
        created = run.record().created
    except HomespunError:
        return RunSummary(path.name, path, "damaged", "", None, None, 0.0)
    parameters = bits = ngrams = None
    try:
        if run.eval.is_file():
            result = read_json(run.eval)
            parameters = int(result["model"]["parameters"])
            bits = float(result["validation"]["bits_per_byte"])
        elif run.plan.is_file():
            parameters = int(read_json(run.plan)["parameters"])
        if record_path(run).is_file():
            ngrams = int(read_json(record_path(run))["num_ngrams"])
        clock = path / "clock.json"
        minutes = float(read_json(clock)["seconds"]) / 60 if clock.is_file() else 0.0
    except (HomespunError, KeyError, TypeError, ValueError):
        return RunSummary(path.name, path, "damaged", created, None, None, 0.0)
    stage = _stage_reached(run)
    return RunSummary(path.name, path, stage, created, parameters, bits, minutes, ngrams)


def _stage_reached(run: RunDirectory) -> str:
    steps = (
        (run.report, "finished"),
        (run.eval, "evaluated"),
        (run.stage("sft") / "done.json", "can chat"),
        (run.stage("pretrain") / "done.json", "pretrained"),
        (run.stage("pretrain") / "config.json", "pretraining"),
        (run.shards / "index.json", "tokenised"),
        (run.corpus / "card.json", "corpus"),
    )
    return next((name for path, name in steps if path.is_file()), "begun")
