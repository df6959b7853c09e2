"""How good answers are, whoever gave them: a file of answers beside a file of right ones.

kinds    what answers may be (labels, tags, translations …), and their measures
compare  the answers of two files, or of two learned tasks, row by row
"""

from homespun.recipes.scoring.compare import ScoreAsk, score
from homespun.recipes.scoring.kinds import KINDS

__all__ = ["KINDS", "ScoreAsk", "score"]
