"""Published sets of questions asked of a run's model, beside chance; and lm-eval's door to it.

ask      accuracy with intervals, the run's own 5-gram and chance beside it
seen     which questions stand in the text the run was trained on
lm_eval  an adapter that lets lm-eval drive a run
"""

from homespun.recipes.questions.ask import QuestionsAsk, ask_questions
from homespun.recipes.questions.lm_eval import lm_eval_model

__all__ = ["QuestionsAsk", "ask_questions", "lm_eval_model"]
