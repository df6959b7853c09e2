"""Questions about a passage: the place that answers, or that none does.

task      Answer: what it wants of a row, and how good answers are
overlap   the sentence most like the question; the answer to the most similar question
encoder   a reader: an encoder that points at the first and the last word
several   how sure a reader must be of the best of several passages
windows   long passages in overlapping parts
"""

from homespun.recipes.applications.answer.several import ReadsSeveral
from homespun.recipes.applications.answer.task import Answer, Found, Question

__all__ = ["Answer", "Found", "Question", "ReadsSeveral"]
