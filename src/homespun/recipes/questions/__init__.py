"""Published sets of questions asked of a run's model, beside chance; and lm-eval's door to it.

ask      accuracy with intervals, the run's own 5-gram and chance beside it
encoder  the same asked of an encoder, by pseudo-likelihood
seen     which questions stand in the text the run was trained on
lm_eval  an adapter that lets lm-eval drive a run, and a call that does so
"""

from homespun.recipes.questions.ask import QuestionsAsk, ask_questions
from homespun.recipes.questions.encoder import ask_encoder, is_encoder
from homespun.recipes.questions.lm_eval import evaluate_tasks, lm_eval_model

__all__ = [
    "QuestionsAsk",
    "ask_encoder",
    "ask_questions",
    "evaluate_tasks",
    "is_encoder",
    "lm_eval_model",
]
