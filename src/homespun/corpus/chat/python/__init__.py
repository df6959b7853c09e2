"""Conversations about Python, made from its documentation.

questions   `python_conversations`: which questions are asked of which name
answers     one function a kind of question: the answer, or "" where the documentation is silent
docstrings  a docstring taken apart: summary, parameters, returns, raises, example
wording     "Return the name." -> "returns the name."
phrasings   the ways people ask, in English and Chinese
held_out    names kept for validation
"""

from homespun.corpus.chat.python.questions import PythonChat, python_conversations

__all__ = ["PythonChat", "python_conversations"]
