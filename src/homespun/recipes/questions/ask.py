"""A set of questions, a run's model, and what guessing and counting would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from homespun.core import ConfigError, Progress, Silent, did_you_mean
from homespun.core.files import read_jsonl
from homespun.core.rng import derive_seed
from homespun.recipes.applications.results import difference
from homespun.recipes.process import prepare_process
from homespun.recipes.questions.seen import seen_share

if TYPE_CHECKING:
    from homespun.core import LanguageModel
    from homespun.evaluation.likelihood import ChoiceResult, LastWord, MultipleChoice
    from homespun.recipes.run import Run

LAST_WORDS = "lambada"
KINDS = ("blimp", "choices", "cmmlu", "crows-pairs", "bbq", "xstest", LAST_WORDS)
"""choices: PIQA, ARC, BoolQ, Winogrande … as the evaluation suite of llm-foundry keeps them."""
_MOST_GROUPS = 100
QuestionT = TypeVar("QuestionT")


class QuestionsAsk(NamedTuple):
    """Attributes:
    kind: one of `KINDS`.
    path: file, folder or archive, as published.
    most: questions that are asked, drawn evenly; None for all.
    seed: of that draw.
    beside: also ask a 5-gram of the run's own training text.
    answers: of CMMLU, choose among the answers themselves and not among their letters, which small
        models do better.
    shots: of CMMLU, worked examples of the same subject before each question, 0 … 5.
    """

    kind: str
    path: Path
    most: int | None = None
    seed: int = 0
    beside: bool = True
    answers: bool = False
    shots: int = 0


def ask_questions(
    run: Run, ask: QuestionsAsk, *, progress: Progress | None = None
) -> dict[str, Any]:
    """JSON values: accuracy by summed nats and by nats a byte, each with Wilson's interval and by
    group, chance, the 5-gram's accuracy and the difference to it over the same questions, and the
    share of questions the run has read with where was looked ("corpus", "replay/NAME/corpus",
    "chat"; nowhere, and there is no share). Of LAMBADA as `ask_last_words` has them.

    Raises:
        ConfigError: another kind. DataError: the path cannot be read, or holds no questions.
    """
    prepare_process()
    progress = progress or Silent()
    if ask.kind == LAST_WORDS:
        return ask_last_words(run, ask, progress=progress)
    questions = read_questions(ask)
    from homespun.evaluation.bits_per_byte import DecoderLanguageModel
    from homespun.evaluation.likelihood import score_choices

    model = DecoderLanguageModel(run.path.name, run.model, run.tokenizer)
    task = progress.task("questions", None, "")
    found = score_choices(model, questions)
    task.finish(f"{len(questions):,} questions")
    told = choices_told(ask, questions, found.chance, shown(found))
    texts = _training_texts(run)
    if texts is None:
        return told
    told.update(_seen(run, texts, [question.bare for question in questions]))
    if ask.beside:
        counted = score_choices(_five_gram(run, texts), questions)
        differences = _differences(found, counted, seed=ask.seed)
        told["beside"].append({"name": "5-gram", **shown(counted), "difference": differences})
    return told


def read_questions(ask: QuestionsAsk) -> list[MultipleChoice]:
    """Those that are asked. Raises as `ask_questions`, and ConfigError where a setting is of
    another set."""
    return _chosen(list(_reader(ask)(ask.path)), ask.most, ask.seed)


def choices_told(
    ask: QuestionsAsk, questions: Sequence[MultipleChoice], chance: float, model: dict[str, Any]
) -> dict[str, Any]:
    """What is told of questions with options, before anything stands beside."""
    return {
        "format": 1,
        "kind": ask.kind,
        "options": "answers" if ask.answers else None,
        "shots": ask.shots,
        "questions": len(questions),
        "model": model,
        "chance": chance,
        "commonest": _commonest(questions),
        "beside": [],
        "seen_share": None,
        "seen_in": [],
    }


def ask_last_words(
    run: Run, ask: QuestionsAsk, *, progress: Progress | None = None
) -> dict[str, Any]:
    """JSON values: how often the run, always taking its likeliest token, writes the last word of a
    passage of LAMBADA, with Wilson's interval; that word's perplexity; a word of the passage drawn
    at random; and the perplexity for a 5-gram of the run's text.

    Raises:
        ConfigError: a setting is of another set. DataError: the path cannot be read, or holds no
            passages.
    """
    from homespun.evaluation.bits_per_byte import DecoderLanguageModel
    from homespun.evaluation.likelihood import read_lambada, score_last_words

    _check_settings(ask)
    progress = progress or Silent()
    passages = _chosen(list(read_lambada(ask.path)), ask.most, ask.seed)
    task = progress.task("last words", None, "")
    model = DecoderLanguageModel(run.path.name, run.model, run.tokenizer)
    found = score_last_words(model, passages, written=lambda some: _written(run, some))
    task.finish(f"{len(passages):,} passages")
    told: dict[str, Any] = {
        "format": 1,
        "kind": ask.kind,
        "questions": len(passages),
        "model": {
            "accuracy": None if found.accuracy is None else _number(found.accuracy),
            "perplexity": found.perplexity,
        },
        "chance": found.chance,
        "beside": [],
        "seen_share": None,
        "seen_in": [],
    }
    texts = _training_texts(run)
    if texts is None:
        return told
    told.update(_seen(run, texts, [one.context + one.word for one in passages]))
    if ask.beside:
        counted = score_last_words(_five_gram(run, texts), passages)
        told["beside"].append({"name": "5-gram", "perplexity": counted.perplexity})
    return told


def _written(run: Run, passages: Sequence[LastWord]) -> list[bool]:
    """Whether the run writes the last word of each passage, of which as much is read as fits."""
    from homespun.core import SamplingSettings

    engine, tokenizer = run.engine, run.tokenizer
    wanted, prompts = [], []
    for passage in passages:
        word = tokenizer.encode(passage.word).tolist()
        wanted.append(word)
        prompts.append(run.prompt_ids(passage.context)[-(engine.window - len(word)) :])
    found = [False] * len(passages)
    for length in sorted(set(map(len, wanted))):
        some = [at for at, word in enumerate(wanted) if len(word) == length]
        settings = SamplingSettings(max_tokens=length, temperature=0.0)
        answers = engine.generate_batch([prompts[at] for at in some], settings)
        for at, answer in zip(some, answers, strict=True):
            found[at] = list(answer.token_ids) == wanted[at]
    return found


def _reader(ask: QuestionsAsk) -> Callable[[Path], Iterator[MultipleChoice]]:
    from homespun.evaluation import likelihood

    kind = ask.kind
    _check_settings(ask)
    readers: dict[str, Callable[[Path], Iterator[MultipleChoice]]] = {
        "blimp": likelihood.read_blimp,
        "choices": likelihood.read_choices,
        "cmmlu": partial(
            likelihood.read_cmmlu,
            options="answers" if ask.answers else "letters",
            num_shots=ask.shots,
        ),
        "crows-pairs": likelihood.read_crows_pairs,
        "bbq": likelihood.read_bbq,
        "xstest": likelihood.read_xstest,
    }
    if kind not in readers:
        raise ConfigError(f"there is no set '{kind}'", remedy=did_you_mean(kind, list(KINDS)))
    return readers[kind]


def _check_settings(ask: QuestionsAsk) -> None:
    """Raises ConfigError where a setting is of another set."""
    if ask.kind != "cmmlu" and (ask.answers or ask.shots):
        raise ConfigError(
            "answers in place of letters, and worked examples, are of CMMLU alone",
            got=f"the set {ask.kind}",
            remedy="leave --answers and --shots out",
        )


def _chosen(questions: list[QuestionT], most: int | None, seed: int) -> list[QuestionT]:
    if most is None or len(questions) <= most:
        return questions
    order = sorted(range(len(questions)), key=lambda n: derive_seed(seed, "question", n))
    return [questions[number] for number in sorted(order[:most])]


def _commonest(questions: Sequence[MultipleChoice]) -> float | None:
    """The share that is right of whoever always gives the answer that is most often right, where
    all questions have the same options; None elsewhere."""
    if len({question.options for question in questions}) != 1:
        return None
    right = Counter(question.gold for question in questions)
    return right.most_common(1)[0][1] / len(questions)


def _corpora(run: Run) -> list[Path]:
    """The run's own corpus and those it goes on from, of which it keeps copies."""
    found = [run.path / "corpus", *sorted(run.path.glob("replay/*/corpus"))]
    return [folder for folder in found if (folder / "card.json").is_file()]


def _training_texts(run: Run) -> Callable[[], Iterator[str]] | None:
    """The documents the run was trained on; None where it keeps none, as imported models do."""
    folders = _corpora(run)
    if not folders:
        return None
    from homespun.corpus import iter_documents

    def texts() -> Iterator[str]:
        for folder in folders:
            for document in iter_documents(folder, "train"):
                yield document.text

    return texts


def _seen(run: Run, texts: Callable[[], Iterator[str]], questions: Sequence[str]) -> dict[str, Any]:
    """The share of questions that stand in documents or conversations the run has read, and where
    was looked."""
    places = [folder.relative_to(run.path).as_posix() for folder in _corpora(run)]
    talks = run.path / "chat" / "train.jsonl"
    if talks.is_file():
        places.append("chat")
    read = chain(texts(), _said(talks) if talks.is_file() else ())
    return {"seen_share": seen_share(read, questions), "seen_in": places}


def _said(path: Path) -> Iterator[str]:
    """Each conversation as one text: what is asked and what is answered stand together."""
    for row in read_jsonl(path):
        yield "\n".join(str(part["content"]) for part in row["messages"])


def _five_gram(run: Run, texts: Callable[[], Iterator[str]]) -> LanguageModel:
    from homespun.classic import KneserNey, NgramLanguageModel

    tokenizer = run.tokenizer
    table = KneserNey(
        order=5, vocab_size=tokenizer.vocab_size, end_of_text_id=tokenizer.end_of_text_id
    )
    table.fit(tokenizer.encode(text) for text in texts())
    return NgramLanguageModel("5-gram", tokenizer, table)


def shown(found: ChoiceResult) -> dict[str, Any]:
    """A result as JSON values."""
    return {
        "summed": _number(found.summed),
        "per_byte": _number(found.per_byte),
        "groups": [
            {
                "name": group.name,
                "summed": group.summed.value,
                "per_byte": group.per_byte.value,
                "interval": {
                    "summed": [group.summed.low, group.summed.high],
                    "per_byte": [group.per_byte.low, group.per_byte.high],
                },
                "chance": group.chance,
                "num": group.summed.num,
            }
            for group in found.groups[:_MOST_GROUPS]
        ],
    }


def _differences(ours: ChoiceResult, theirs: ChoiceResult, *, seed: int) -> dict[str, Any]:
    """Ours minus theirs by both ways of counting, see `difference`."""
    draw = np.random.Generator(np.random.PCG64(derive_seed(seed, "differences")))
    return {
        "summed": difference(ours.summed_statistics, theirs.summed_statistics, draw),
        "per_byte": difference(ours.per_byte_statistics, theirs.per_byte_statistics, draw),
    }


def _number(measurement: Any) -> dict[str, Any]:
    return {"value": measurement.value, "low": measurement.low, "high": measurement.high}
