"""Long texts are cut at borders, lose nothing, and do not depend on how they arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.sources.formats.chunks import END_OF_TEXT, split_documents, split_text

_text = st.text(alphabet="ab .。\n", max_size=400)


@given(_text, st.integers(4, 60))
def test_pieces_are_the_text_and_none_is_too_long(text: str, limit: int) -> None:
    pieces = list(split_text([text], limit))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


@given(_text, st.integers(4, 60), st.integers(1, 50))
def test_pieces_do_not_depend_on_the_blocks(text: str, limit: int, block: int) -> None:
    blocks = [text[i : i + block] for i in range(0, len(text), block)]
    assert list(split_text(blocks, limit)) == list(split_text([text], limit))


def test_cuts_fall_between_paragraphs_where_there_are_some() -> None:
    text = "\n\n".join(f"Paragraph {i} has a few sentences. Here is one more." for i in range(40))
    for piece in split_text([text], 300):
        assert piece.startswith("Paragraph")


def test_chinese_lines_are_cut_between_lines_then_after_sentences() -> None:
    lines = "\n".join("　　话说天下大势，分久必合，合久必分。" for _ in range(60))
    assert all(piece.startswith("　　话说") for piece in split_text([lines], 200))
    run_on = "天下大势分久必合。" * 100
    assert all(piece.endswith("。") for piece in split_text([run_on], 100))


def test_a_last_piece_is_not_tiny() -> None:
    text = "\n\n".join("x" * 98 for _ in range(11))
    assert min(len(piece) for piece in split_text([text], 1000)) > 300


@given(st.lists(st.text(alphabet="ab<|endoftx>\n", max_size=30), max_size=6), st.integers(1, 9))
def test_end_of_text_marks_divide_documents(texts: list[str], block: int) -> None:
    joined = END_OF_TEXT.join(texts)
    blocks = [joined[i : i + block] for i in range(0, len(joined), block)]
    wanted = [text for text in joined.split(END_OF_TEXT) if text]
    assert list(split_documents(blocks, 1000)) == wanted
