"""Ways to an answer, each a job: rows of the cache, and what to do with the scores they give.

job          what the engine asks of every job; answers that are chosen token by token
beams        beam search with groups: the search itself, without a cache
beam_job     the same over rows of the cache
contrastive  the likeliest tokens weighed against repeating what was said
prefixed     what follows a prompt that is read both ways; both_ways is an engine for that
writing      texts from texts by an encoder-decoder, many at once; rewriting is an engine for that
reading      what such a model makes of texts that are there: how well one gives back another
ledger       numbers of requests and what was done, for engines without a cache in blocks
prompt       how likely each token of a prompt was
lookup       guesses ahead by what followed the last tokens before
"""

from homespun.inference.search.beam_job import BeamJob
from homespun.inference.search.beams import Beam, BeamSearch
from homespun.inference.search.contrastive import ContrastiveJob, best_candidate
from homespun.inference.search.job import News, SamplingJob, SearchJob
from homespun.inference.search.lookup import AcceptanceMeter, guess
from homespun.inference.search.prompt import PromptScores

__all__ = [
    "AcceptanceMeter",
    "Beam",
    "BeamJob",
    "BeamSearch",
    "ContrastiveJob",
    "News",
    "PromptScores",
    "SamplingJob",
    "SearchJob",
    "best_candidate",
    "guess",
]
