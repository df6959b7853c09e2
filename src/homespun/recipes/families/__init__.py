"""One measure across families: every kind of language model on the same text for the same time.

contenders  the families: how each is built, taught and asked
counted     those that count: n-grams, HMM
neural      those that are trained: RNN to encoder-decoder
scoring     how those are judged that do not tell every token from those before it
sizes       how large each is for its minutes
kept        tables and their rows on disk
peer        the LSTM of pytorch/examples, as its own script trains it
bench       prepare the text once, let each learn for as long, judge all alike
"""

from homespun.recipes.families.bench import FamiliesAsk, bench_families
from homespun.recipes.families.contenders import FAMILIES
from homespun.recipes.families.kept import read_families

__all__ = ["FAMILIES", "FamiliesAsk", "bench_families", "read_families"]
