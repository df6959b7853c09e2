"""Questions asked of an encoder, by pseudo-likelihood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homespun.core import ConfigError, Progress, Silent
from homespun.recipes.process import prepare_process
from homespun.recipes.questions.ask import (
    LAST_WORDS,
    QuestionsAsk,
    choices_told,
    read_questions,
    shown,
)
from homespun.recipes.questions.seen import seen_share
from homespun.recipes.together import training_device


def is_encoder(path: Path) -> bool:
    """Whether a folder is of a model that lies by itself, and not of a run."""
    return (path / "config.json").is_file() and not (path / "run.json").is_file()


def ask_encoder(
    folder: Path, ask: QuestionsAsk, *, progress: Progress | None = None
) -> dict[str, Any]:
    """JSON values as `ask_questions` has them, of an encoder that can say masked words: each token
    of an option is told from all others of context and option (Salazar et al. 2020). Where the
    folder keeps the text it was taught with, as those of `homespun encoder` do, the share of
    questions that stand in it.

    Raises:
        ConfigError: it is no encoder or has no head of masked words, another kind of set, or one of
            which a model must write. DataError: a path cannot be read, or holds no questions.
    """
    prepare_process()  # before torch is loaded
    from homespun.evaluation.likelihood import score_choices
    from homespun.evaluation.pseudo_likelihood import PseudoLanguageModel

    progress = progress or Silent()
    if ask.kind == LAST_WORDS:
        raise ConfigError(
            "an encoder does not write, which is what this set asks for",
            got=ask.kind,
            remedy="ask a run, or another set",
        )
    questions = read_questions(ask)
    model, tokenizer = _opened(folder)
    task = progress.task("questions", None, "")
    found = score_choices(PseudoLanguageModel(folder.name, model, tokenizer), questions)
    task.finish(f"{len(questions):,} questions")
    told = choices_told(ask, questions, found.chance, shown(found))
    told["by"] = "pseudo-likelihood"
    if (folder / "corpus" / "card.json").is_file():
        from homespun.corpus import iter_documents

        texts = (document.text for document in iter_documents(folder / "corpus", "train"))
        asked = [question.bare for question in questions]
        told.update(seen_share=seen_share(texts, asked), seen_in=["corpus"])
    return told


def _opened(folder: Path) -> tuple[Any, Any]:
    from homespun.models import load_weights, read_encoder
    from homespun.tokenizer.pieces import PieceTokenizer

    config, weights = read_encoder(folder)
    if not config.masked_head:
        raise ConfigError(
            f"{folder} cannot say masked words: it has no head for them",
            remedy="take a model with one (bert-base-uncased), or what `homespun encoder` left",
        )
    model = config.empty()
    load_weights(model, weights, where=str(folder))
    return model.to(training_device()).eval(), PieceTokenizer.load(folder)
