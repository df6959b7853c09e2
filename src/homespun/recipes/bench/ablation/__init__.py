"""What each part of a recipe is worth: the recipe with one thing changed, for the same time.

variants  Variant: a name and settings; those that are tried where none are asked for
run       train every variant with every seed, a finished training is one line of a file
compare   differences of seeds to the recipe as it is, with intervals
"""

from homespun.recipes.bench.ablation.compare import compared
from homespun.recipes.bench.ablation.run import AblationAsk, bench_ablation
from homespun.recipes.bench.ablation.variants import Variant, parse_variant, usual_variants

__all__ = [
    "AblationAsk",
    "Variant",
    "bench_ablation",
    "compared",
    "parse_variant",
    "usual_variants",
]
