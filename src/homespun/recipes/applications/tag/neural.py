"""LSTMs from both ends or an encoder, and a CRF on their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.classic.tagging import convert_tags
from homespun.core import DataError
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import (
    Base,
    Begun,
    EncoderLearning,
    chosen_settings,
    fresh_reader,
    in_batches,
    load_base,
    load_model,
    read_choice,
    read_option,
    save_base,
    with_examples,
)
from homespun.recipes.applications.tag.classic import are_characters, in_scheme
from homespun.recipes.applications.tag.task import Sentence, Tags, scheme_of

if TYPE_CHECKING:
    from homespun.models.heads import CrfLayer, WordTagger
    from homespun.training import Example

_IGNORED = -100


class _Neural(EncoderLearning[Sentence, Tags]):
    """What both kinds share: all but the reader they begin with."""

    fresh: ClassVar[dict[str, int]] = {"cased": True}  # names show by their capitals

    def texts(self, examples: Sequence[Sentence]) -> list[str]:
        return [" ".join(example.tokens) for example in examples]

    def begin(self, lesson: Lesson[Sentence], base: Base) -> Begun:
        from homespun.training import TagObjective

        examples = [*lesson.train, *lesson.dev]
        is_spans = any(example.is_spans for example in examples)
        scheme = scheme_of([example.tags for example in examples]) if is_spans else None
        train, dev = (_in_bioes(part, scheme) for part in (lesson.train, lesson.dev))
        tags = sorted({tag for example in (*train, *dev) for tag in example.tags})
        if len(tags) < 2:
            raise DataError(
                "there must be two tags at least", got=tags, remedy="give rows with another tag"
            )
        has_crf = read_choice(lesson.options, "crf", ("yes", "no"))
        record = {
            "tags": tags,
            "scheme": scheme,
            "crf": has_crf == "yes",
            "characters": are_characters(examples),
        }
        learned = LearnedNeuralTagger.new(base, record)
        save_base(lesson.folder, base, **record)
        return with_examples(
            learned,
            TagObjective(),
            learned.examples(train),
            learned.examples(dev),
            lesson,
            chosen_settings(base, lesson.options),
            context=base.config.context,
            per_token=True,
        )

    def load(self, folder: Path) -> LearnedNeuralTagger:
        base, record = load_base(folder)
        if not isinstance(record.get("tags"), list) or "scheme" not in record:
            raise DataError(f"{folder} does not say its tags", remedy="learn the task again")
        learned = LearnedNeuralTagger.new(base, record)
        load_model(learned.model, folder)
        return learned


class LstmTagging(_Neural):
    """BiLSTM-CRF (Huang et al. 2015; Lample et al. 2016) over pieces of words; with other cells by
    `cell`."""

    name = "lstm"
    takes_base = False
    summary = "LSTMs from both ends and a CRF, learned from nothing."
    options: ClassVar[Mapping[str, str]] = {
        "epochs": "",
        "rate": "",
        "tokens": "1024",
        "crf": "yes",
        "cell": "lstm",
        "width": "256",
        "dropout": "0.3",
        "variational": "no",
        "pieces": "8192",
    }

    def base(self, lesson: Lesson[Sentence]) -> Base:
        return fresh_reader(
            self.texts(lesson.train),
            seed=lesson.seed,
            cell=read_choice(lesson.options, "cell", ("lstm", "gru", "rnn")),
            width=read_option(lesson.options, "width", int, low=8, high=8192),
            dropout=read_option(lesson.options, "dropout", float, low=0.0, high=0.9),
            variational=read_choice(lesson.options, "variational", ("yes", "no")) == "yes",
            vocab_size=read_option(lesson.options, "pieces", int, low=300, high=1 << 20),
        )


class EncoderTagging(_Neural):
    """BERT's way to tag (Devlin et al. 2019, section 5.3), with a CRF."""

    name = "encoder"
    summary = "An encoder and a CRF: with --base MiniLM the best there is."
    options: ClassVar[Mapping[str, str]] = {
        "epochs": "",
        "rate": "",
        "tokens": "1024",
        "crf": "yes",
    }


class LearnedNeuralTagger:
    """Answers with a `WordTagger`.

    Args:
        model: on a reader.
        base: its tokenizer and shape.
        record: `tags` in the order of scores, the `scheme` of the user's tags, and `characters`,
            whether it was learned from these alone; folders of before do not say that.

    Attributes:
        by_character: the last of these.
        finds_spans: its tags are of spans.
    """

    def __init__(self, model: WordTagger, base: Base, record: Mapping[str, Any]) -> None:
        self.model = model
        self._base, self._tags = base, [str(tag) for tag in record["tags"]]
        self._scheme: str | None = record["scheme"]
        self.by_character = record.get("characters") is True
        self.finds_spans = self._scheme is not None

    @classmethod
    def new(cls, base: Base, record: Mapping[str, Any]) -> LearnedNeuralTagger:
        from homespun.models.heads import WordTagger

        tags = [str(tag) for tag in record["tags"]]
        crf = _crf(tags, is_of_spans=record["scheme"] is not None) if record.get("crf") else None
        model = WordTagger(base.encoder, len(tags), crf=crf)
        model.begin()
        return cls(model.eval(), base, record)

    def examples(self, sentences: Sequence[Sentence]) -> list[Example]:
        """For the training loop: the tag at the first token of each word; the first tag there is,
        where none is told. Words beyond the context are left out."""
        from homespun.training import Example

        codes = {tag: code for code, tag in enumerate(self._tags)}
        found = []
        for sentence in sentences:
            pieces = self._base.tokenizer.encode_words(
                sentence.tokens, most=self._base.config.context
            )
            targets = [_IGNORED] * len(pieces.ids)
            places = first_places(pieces.words)
            for place in places:
                word = pieces.words[place]
                targets[place] = codes.get(sentence.tags[word], 0) if sentence.tags else 0
            if self._scheme and sentence.tags and len(places) < len(sentence.tokens):
                _leave_out_open_span(targets, places, sentence.tags)
            found.append(Example(pieces.ids, targets))
        return found

    @property
    def most(self) -> str:
        return f"{self._base.config.context} tokens of a sentence"

    def are_cut(self, examples: Sequence[Sentence]) -> list[bool]:
        encode = self._base.tokenizer.encode_words
        most = self._base.config.context
        return [len(encode(sentence.tokens).ids) > most for sentence in examples]

    def answer(self, examples: Sequence[Sentence]) -> list[Tags]:
        """Words that did not fit into the context get the commonest thing to say, "O", or the first
        tag there is."""
        import torch

        from homespun.models import device_of
        from homespun.training import example_batch

        rows = self.examples([example._replace(tags=()) for example in examples])
        rest = "O" if "O" in self._tags else self._tags[0]
        found: list[Tags] = [() for _ in rows]
        with torch.inference_mode():
            for numbers in in_batches(rows, lambda row: len(row.ids)):
                batch = example_batch([rows[number] for number in numbers], per_token=True)
                batch = batch.to(device_of(self.model))
                scores_BTC = self.model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
                best = self.model.best(scores_BTC, batch.targets != _IGNORED)
                for number, codes in zip(numbers, best, strict=True):
                    tags = [self._tags[code] for code in codes]
                    tags += [rest] * (len(examples[number].tokens) - len(tags))
                    found[number] = in_scheme(tags, self._scheme)
        return found


def first_places(words: Sequence[int]) -> list[int]:
    """Where each word's first token is; marks (-1) are no words."""
    return [
        place
        for place, word in enumerate(words)
        if word >= 0 and (place == 0 or words[place - 1] != word)
    ]


def _leave_out_open_span(targets: list[int], places: Sequence[int], tags: Sequence[str]) -> None:
    """Where the context cuts a span, ask for none of it: what may not be would be learned."""
    for number in range(len(places) - 1, -1, -1):
        if tags[number][:1] not in ("B", "I"):
            return
        targets[places[number]] = _IGNORED


def _in_bioes(sentences: Sequence[Sentence], scheme: str | None) -> list[Sentence]:
    if scheme is None:
        return list(sentences)
    return [s._replace(tags=tuple(convert_tags(s.tags, "bioes"))) for s in sentences]


def _crf(tags: Sequence[str], *, is_of_spans: bool) -> CrfLayer:
    import torch

    from homespun.classic.tagging.spans import allowed_pairs
    from homespun.models.heads import CrfLayer

    if not is_of_spans:
        return CrfLayer(len(tags))
    return CrfLayer(len(tags), *(torch.from_numpy(mask) for mask in allowed_pairs(tags)))
