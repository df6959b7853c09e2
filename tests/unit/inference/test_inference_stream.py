"""Streamed pieces are the decoded text, cut at the stop, and each piece is safe to show."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_fakes import FakeTokenizer

from homespun.core import SamplingSettings
from homespun.inference import Utf8Streamer
from homespun.inference.answer import Answer
from homespun.inference.reference import reference_text

TOKENIZER = FakeTokenizer()
# Few different tokens, so that characters and stop strings do come about.
TOKENS = st.one_of(
    st.sampled_from([*range(256, 263), *b"aEND", *"你好".encode(), 0xFF, 0xE4]),
    st.integers(0, TOKENIZER.vocab_size - 1),
)
STOPS = st.lists(
    st.one_of(
        st.sampled_from(["END", "ND", "你好", "\ufffd", " the"]), st.text("aEND", min_size=1)
    ),
    max_size=3,
)


def run(ids: list[int], stop: list[str]) -> tuple[list[str], Utf8Streamer]:
    streamer = Utf8Streamer(TOKENIZER, stop)
    pieces = [streamer.push(token) for token in ids]
    return [*pieces, streamer.flush()], streamer


@given(st.lists(TOKENS, max_size=40), STOPS)
def test_the_pieces_are_the_decoded_text_cut_at_the_stop(ids: list[int], stop: list[str]) -> None:
    pieces, streamer = run(ids, stop)
    assert ("".join(pieces), streamer.stopped) == reference_text(TOKENIZER, ids, stop)


@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1), max_size=40))
def test_without_stop_strings_the_pieces_are_what_the_tokenizer_decodes(ids: list[int]) -> None:
    whole = b"".join(map(TOKENIZER.token_bytes, ids))
    finished = codecs.getincrementaldecoder("utf-8")("replace").decode(whole)
    assert "".join(run(ids, [])[0]) == finished
    assert TOKENIZER.decode(ids) in (finished, finished + "\ufffd")


@given(st.text(max_size=20), STOPS, st.data())
def test_every_beginning_that_was_shown_stays_true(
    text: str, stop: list[str], data: st.DataObject
) -> None:
    """However the text goes on, what was shown until now is the beginning of what is shown then."""
    ids = list(text.encode())
    cut = data.draw(st.integers(0, len(ids)))
    shown = "".join(run(ids[:cut], stop)[0][:-1])
    assert "\ufffd" not in shown or "\ufffd" in text
    assert reference_text(TOKENIZER, ids, stop)[0].startswith(shown)


def test_a_character_comes_when_its_last_byte_does() -> None:
    assert run(list("你".encode()), [])[0] == ["", "", "你", ""]


def test_half_a_character_at_the_end_is_left_out() -> None:
    assert run(list("a好".encode()[:3]), [])[0] == ["a", "", "", ""]


def test_a_stop_string_across_tokens_is_never_shown() -> None:
    pieces, streamer = run(list(b"so EN") + list(b"D and more"), ["END"])
    assert "".join(pieces) == "so "
    assert streamer.stopped


def test_the_start_of_a_stop_string_is_shown_once_it_is_not_one() -> None:
    pieces, _ = run(list(b"ENE"), ["END"])
    assert pieces == ["", "", "EN", "E"]


@pytest.mark.parametrize("stop", [["abcde", "cd"], ["cd", "abcde"]])
def test_the_stop_string_completed_first_counts(stop: list[str]) -> None:
    assert "".join(run(list(b"xabcde"), stop)[0]) == "xab"


@pytest.mark.parametrize("stop", [(), ("cd",)])
@pytest.mark.parametrize("ends_at", [None, 5])
def test_tokens_of_a_burst_are_taken_as_one_after_another(
    stop: tuple[str, ...], ends_at: int | None
) -> None:
    end = TOKENIZER.end_of_text_id
    tokens = list("aé中bcde".encode())
    if ends_at is not None:
        tokens.insert(ends_at, end)

    def answer(most: int) -> Answer:
        settings = SamplingSettings(max_tokens=most, stop=stop)
        return Answer(TOKENIZER, settings, [1], window=99, end_ids=frozenset({end}), seed=0)

    for most in range(1, 14):
        for size in range(1, 8):
            slow, fast = answer(most), answer(most)
            for at in range(0, len(tokens), size):
                burst = tokens[at : at + size]
                if slow.finish_reason is not None:
                    break
                before = len(slow.token_ids)
                text, num = "", 0
                for token in burst:
                    text += slow.push(token)
                    num += 1
                    if slow.finish_reason is not None:
                        break
                piece, kept, taken = fast.push_all(burst)
                assert (piece, list(kept)) == (text, slow.token_ids[before:])
                assert taken == num
                assert fast.finish_reason == slow.finish_reason
                assert fast.token_ids == slow.token_ids
            if slow.finish_reason is not None:
                assert fast.completion().text == slow.completion().text
