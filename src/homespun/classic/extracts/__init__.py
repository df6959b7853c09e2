"""Summaries that are parts of the text: its beginning, its most central sentence, or the part a
learned judge holds best.

sentences  a text into sentences and clauses, English and Chinese
central    lead and TextRank
learned    ExtractRanker: parts scored by what they say and where they stand
"""

from homespun.classic.extracts.central import lead, text_rank
from homespun.classic.extracts.learned import ExtractRanker
from homespun.classic.extracts.sentences import candidates, clauses_of, sentences_of

__all__ = ["ExtractRanker", "candidates", "clauses_of", "lead", "sentences_of", "text_rank"]
