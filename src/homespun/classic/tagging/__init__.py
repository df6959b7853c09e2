"""Taggers."""

from homespun.classic.tagging.base import Tagger, span_scores
from homespun.classic.tagging.crf import CRF
from homespun.classic.tagging.spans import convert_tags, words_to_bmes

HMM = RulesTagger = CRF
