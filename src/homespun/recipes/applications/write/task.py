"""The task: go on from a beginning, or write what a prompt asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from homespun.classic.units import is_chinese
from homespun.core import DataError
from homespun.recipes.applications.contract import ROW, Application, Measured, Method, Scored
from homespun.recipes.applications.rows import Column, cell_text, is_missing

_DISTINCT = 2


class Piece(NamedTuple):
    """Attributes:
    prompt: what is asked, or begun with; "" where the text stands alone.
    text: what a person wrote; None where that is not known.
    row: of the file that is answered; 0 of what is judged.
    """

    prompt: str
    text: str | None = None
    row: int = 0


class Written(NamedTuple):
    """Attributes:
    text: what was written, the beginning included where it goes on from one; None of a held-out
        text that was only scored.
    wanted: what keeping the form means, as `Form.wanted`.
    first_holds: whether the first that was written, freely, keeps the form.
    holds: whether this one does.
    tries: how many were written.
    nats: of the person's text; None where there is none.
    own: what was written without the beginning.
    copied: characters of `own` that stand word for word among the texts learned from, in long
        passages; None where these are not at hand.
    """

    text: str | None
    wanted: str
    first_holds: bool = False
    holds: bool = False
    tries: int = 0
    nats: float | None = None
    own: str = ""
    copied: int | None = None


class Write(Application[Piece, Written]):
    """Bits per byte of held-out texts; of what is written from their beginnings the share that
    keeps the form, how varied it is, and how much of it is copied."""

    name = "write"
    summary = "Stories, poems with a form, code: texts of your own kind, written on."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column(
            "prompt",
            ("beginning", "instruction", "text", "题目", "开头"),
            "the prompt",
            may_be_empty=True,
        ),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column(
            "text",
            ("completion", "output", "poem", "story", "code", "paragraphs", "content", "正文"),
            "the text",
        ),
    )
    optional: ClassVar[tuple[Column, ...]] = (
        Column("prompt", ("beginning", "instruction", "题目", "开头"), "the prompt"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("untaught",)
    alike: ClassVar[tuple[str, ...]] = (
        "kind",
        "form",
        "between",
        "max_tokens",
        "temperature",
        "tries",
    )

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Piece, Written]]]:
        return {"decoder": _decoder, "tuned": _tuned, "untaught": _untaught}

    def default_method(self, *, has_base: bool) -> str:
        return "tuned" if has_base else "decoder"

    def to_learn(self) -> tuple[Column, ...]:
        return self.gold

    def columns(self) -> tuple[Column, ...]:
        return (*self.inputs, *self.gold)

    def example(self, values: Mapping[str, Any]) -> Piece:
        prompt, text = values.get("prompt"), values.get("text")
        asked = "" if is_missing(prompt) else cell_text(prompt)
        if ROW in values:
            return Piece(asked, row=int(values[ROW]))
        written = _joined(text) if isinstance(text, list) else cell_text(text)
        if not written.strip():
            raise DataError("there is nothing written", got=text, remedy="take the row out")
        return Piece(asked, written.strip("\r\n"))

    def key(self, example: Piece) -> str:
        return example.prompt if example.text is None else example.text

    def asked(self, example: Piece) -> str:
        from homespun.recipes.applications.write.forms import beginning

        if example.prompt or example.text is None:
            return example.prompt
        return beginning(example.text)

    def measure(
        self, examples: Sequence[Piece], answers: Sequence[Written], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation import diversity
        from homespun.evaluation.metrics.statistics import mean_statistics, ratio_statistics
        from homespun.evaluation.samples import distinct

        of_rows = [number for number, answer in enumerate(answers) if answer.text is not None]
        written = [answers[number] for number in of_rows]
        wanted = answers[0].wanted
        tries = max((answer.tries for answer in written), default=0)
        measures = [_bits_per_byte(examples, answers)]
        free = np.array([answer.first_holds for answer in written], dtype=np.float64)
        held = np.array([answer.holds for answer in written], dtype=np.float64)
        measures.append(mean_statistics(wanted, free, "tries:1", is_share=True))
        if tries > 1:
            measures.append(mean_statistics(wanted, held, f"tries:{tries}", is_share=True))
        varied = np.array([distinct([answer.own], _DISTINCT) for answer in written])
        measures.append(
            mean_statistics(f"distinct-{_DISTINCT} of a text", varied, "of:written", is_share=True)
        )
        if written and all(answer.copied is not None for answer in written):
            copied = np.array([answer.copied for answer in written], dtype=np.float64)
            length = np.array([len(answer.own) for answer in written], dtype=np.float64)
            name = "copied from training"
            measures.append(ratio_statistics(name, copied, length, _COPIES, is_share=True))
        people = [example.text or "" for example in examples]
        of_all = diversity([answer.own for answer in written])
        extra = {name: of_all[name] for name in ("distinct_1", "distinct_2", "distinct_3")}
        extra |= {
            "distinct-2 of a person's text": sum(distinct([p], _DISTINCT) for p in people)
            / len(people),
            "repeating": of_all["repeating_samples"],
        }
        per_row = [1.0 if a.text is None or a.holds else 0.0 for a in answers]
        notes = [_note(len(written), len(answers), wanted)]
        return Measured(
            measures,
            notes=notes,
            extra=extra,
            per_row=per_row,
            of_rows=of_rows,
            less_is_better=True,
        )

    def score(self, examples: Sequence[Piece], answers: Sequence[Written]) -> Scored:
        """More is better of scores, and fewer bits are."""
        return Scored("bits per byte, negative", -_bits_per_byte(examples, answers).value)

    def shown(self, example: Piece, answer: Written) -> dict[str, Any]:
        return {"text": answer.text, "holds": answer.holds, "tries": answer.tries}

    def right(self, example: Piece) -> dict[str, Any]:
        return {"text": example.text}

    def plain(self, example: Piece, answer: Written) -> str:
        """As it was written; one of several lines has an empty one behind it."""
        text = answer.text or ""
        return f"{text}\n" if "\n" in text else text


_COPIES = "passages:50 letters or 25 Chinese, of poems 10"


def _bits_per_byte(examples: Sequence[Piece], answers: Sequence[Written]) -> Any:
    from homespun.evaluation.metrics import bits_per_byte_statistics

    nats = [answer.nats or 0.0 for answer in answers]
    # The end of a text is foretold too, as one more byte.
    num_bytes = [len((example.text or "").encode()) + 1 for example in examples]
    return bits_per_byte_statistics(nats, num_bytes)


def _note(num: int, num_all: int, wanted: str) -> str:
    some = f"{num:,} of the {num_all:,}" if num < num_all else f"all {num:,}"
    return (
        f"Bits per byte are of the held-out texts, and fewer are better. From the prompts or "
        f"beginnings of {some} texts were written, to see how many {_several(wanted)}."
    )


def _several(wanted: str) -> str:
    """ "keeps 5x4" of more than one."""
    verb, _, rest = wanted.partition(" ")
    return f"{verb.removesuffix('s')} {rest}"


def _joined(lines: Sequence[Any]) -> str:
    """Lines of a poem: Chinese ones, which end with marks, side by side."""
    parts = ["" if line is None else cell_text(line).strip("\r\n") for line in lines]
    return ("" if is_chinese(parts) else "\n").join(parts)


def _decoder() -> Method[Piece, Written]:
    from homespun.recipes.applications.write.decoder import DecoderMethod

    return DecoderMethod()


def _tuned() -> Method[Piece, Written]:
    from homespun.recipes.applications.write.decoder import TunedMethod

    return TunedMethod()


def _untaught() -> Method[Piece, Written]:
    from homespun.recipes.applications.write.decoder import UntaughtMethod

    return UntaughtMethod()
