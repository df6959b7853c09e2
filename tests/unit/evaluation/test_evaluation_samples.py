import dataclasses
import time
import tracemalloc

import pytest

from homespun.core import SamplingSettings
from homespun.evaluation import choose_prompts, diversity, has_loop, write_samples
from homespun.evaluation.samples import PROMPTS, distinct, kind_of_text
from homespun.evaluation.together import BatchGenerator, continue_each
from homespun.inference import Engine

KINDS = {
    "docs": "``open(file)``: the function returns a file object. The module has parameters.\n",
    "code": "import os\ndef f(x):\n    return x\nclass A:\n    def g(self):\n        return 1\n",
    "stories": "Once upon a time a little princess saw the king. One day her mom came home.\n",
    "prose": "It was the best of times and the worst of times, as people said at that hour.\n",
    "zh-prose": "他走进屋子里，看见桌上放着一封信，便坐下来慢慢地读，读完以后沉默了很久。\n",
    "zh-poetry": "床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_corpus_is_told_from_its_text(kind) -> None:
    assert kind_of_text([KINDS[kind]] * 5) == kind
    assert choose_prompts([KINDS[kind]] * 5) == PROMPTS[kind]


def test_a_corpus_of_both_languages_gets_prompts_of_both() -> None:
    prompts = choose_prompts([KINDS["prose"]] * 3 + [KINDS["zh-prose"]] * 3)
    assert set(PROMPTS["prose"]) | set(PROMPTS["zh-prose"]) == set(prompts)
    assert len(prompts) == len(set(prompts))


def test_no_text_still_has_prompts() -> None:
    assert choose_prompts([]) == PROMPTS["prose"]
    assert choose_prompts(["12 34"]) == PROMPTS["prose"]


def test_distinct_counts_different_over_all() -> None:
    assert distinct(["a b a b"], 1) == 0.5
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["好 好", "好"], 1) == pytest.approx(1 / 3)
    assert distinct(["a", "b"], 2) == 0.0


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("one two three four " * 3, True),
        ("one two three four " * 2 + "one two three", False),
        ("one two three " * 3, False),
        ("one two three " * 6, True),
        ("ha " * 12, True),
        ("ha " * 11, False),
        ("start of it: a b c d e. a b c d e. a b c d e. and on", True),
        ("春眠不觉春眠不觉春眠不觉", True),
        ("春眠不觉晓，处处闻啼鸟。", False),
        ("", False),
    ],
)
def test_a_loop_is_a_block_of_four_units_three_times_in_a_row(text, loops) -> None:
    assert has_loop(text) is loops


def test_a_loop_is_what_its_definition_says() -> None:
    import random

    chooser = random.Random(0)
    for _ in range(200):
        units = chooser.choices("ab", k=chooser.randrange(30))
        obvious = any(
            units[i : i + n] == units[i + n : i + 2 * n] == units[i + 2 * n : i + 3 * n]
            for n in range(4, len(units) // 3 + 1)
            for i in range(len(units) - 3 * n + 1)
        )
        assert has_loop(" ".join(units)) is obvious


def test_broken_characters_and_loops_are_shares() -> None:
    found = diversity(["ab\ufffd\ufffd", "abcd", "la " * 20, "x"])
    assert found["broken_characters"] == pytest.approx(2 / 69)
    assert found["repeating_samples"] == 0.25
    assert found["num_samples"] == 4
    assert diversity([])["num_samples"] == 0


def test_samples_follow_the_end_mark_each_with_its_own_seed(byte_tokenizer, make_parrot) -> None:
    parrot = make_parrot(" lives.", " dies.")
    settings = SamplingSettings(max_tokens=20, seed=5)
    samples = write_samples(parrot, byte_tokenizer, ["", "He"], settings=settings, num_samples=5)
    assert [sample["prompt"] for sample in samples] == ["", "He", "", "He", ""]
    assert [sample["text"] for sample in samples[:2]] == [" lives.", " dies."]
    end = byte_tokenizer.end_of_text_id
    assert parrot.prompts[:2] == [[end], [end, *byte_tokenizer.encode("He")]]
    assert [s.seed for s in parrot.settings] == [5, 6, 7, 8, 9]
    assert samples[2]["settings"]["seed"] == 7
    assert samples[2]["settings"].keys() == dataclasses.asdict(settings).keys()


def test_samples_stop_with_the_time_but_never_before_the_first(byte_tokenizer, make_parrot) -> None:
    samples = write_samples(
        make_parrot("x"),
        byte_tokenizer,
        ["a"],
        settings=SamplingSettings(),
        num_samples=5,
        deadline=time.monotonic() - 1,
    )
    assert len(samples) == 1


def test_prompts_beyond_the_window_are_passed_over(byte_tokenizer, make_parrot) -> None:
    samples = write_samples(
        make_parrot("x", window=3),
        byte_tokenizer,
        ["a", "a long prompt"],
        settings=SamplingSettings(),
        num_samples=4,
    )
    assert [sample["prompt"] for sample in samples] == ["a", "a"]


def test_batches_give_what_one_by_one_gives(byte_tokenizer, tiny_decoder) -> None:
    class OneByOne:
        def __init__(self, engine: Engine) -> None:
            self.generate, self.stream = engine.generate, engine.stream

    engine = Engine(tiny_decoder, byte_tokenizer)
    settings = SamplingSettings(max_tokens=6, temperature=0.8, seed=3)
    prompts = ["", "a", "far beyond the window of this model", "bc"]

    def write(generator) -> list[dict]:
        return write_samples(generator, byte_tokenizer, prompts, settings=settings, num_samples=14)

    assert isinstance(engine, BatchGenerator)
    assert write(engine) == write(OneByOne(engine))
    assert len(write(engine)) == 11


def test_batches_grow_and_stop_with_the_time(make_parrot) -> None:
    class Together:
        def __init__(self) -> None:
            self.parrot = make_parrot("x")
            self.sizes: list[int] = []

        def generate(self, prompt, settings):
            self.sizes.append(1)
            return self.parrot.generate(prompt, settings)

        stream = generate

        def generate_batch(self, prompts, settings):
            self.sizes.append(len(prompts))
            return [self.parrot.generate(prompt, settings) for prompt in prompts]

    together = Together()
    assert len(list(continue_each(together, [[1]] * 40, SamplingSettings()))) == 40
    assert together.sizes == [1, 2, 4, 8, 16, 9]
    late = Together()
    found = list(continue_each(late, [[1]] * 40, SamplingSettings(), deadline=time.monotonic() - 1))
    assert len(found) == sum(late.sizes) == 1


def test_the_kind_of_a_large_corpus_is_told_from_its_beginning_alone() -> None:
    page = KINDS["docs"] * 1000
    texts = [page] * 2000  # one string, and 160 MB where they are joined
    tracemalloc.start()
    assert kind_of_text(texts) == "docs"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
