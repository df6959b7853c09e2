"""Finding passages of one's own files, and answering from them.

passages   files of a folder as passages, each with its place
embedding  texts as vectors, by MiniLM or another encoder
index      an index of passages: words (BM25), and vectors where there is an encoder
answering  a reader over what was found: answer, passage and place, or "I don't know"
"""

from homespun.recipes.search.answering import Reply, answer_over
from homespun.recipes.search.embedding import Vectors, open_embedder
from homespun.recipes.search.index import Hit, PassageIndex, build_index, open_index
from homespun.recipes.search.passages import Passage, passages_of

__all__ = [
    "Hit",
    "Passage",
    "PassageIndex",
    "Reply",
    "Vectors",
    "answer_over",
    "build_index",
    "open_embedder",
    "open_index",
    "passages_of",
]
