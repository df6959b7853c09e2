"""How good a model is, in numbers that compare across families, and in plain words.

bits_per_byte  score_model: the one convention for all families; quick_validation while training
               (bits_per_byte_reference: the same slowly; tests show that they agree)
pieces         texts cut and drawn, the same for every model
intervals      95% bootstrap intervals over documents
baselines      xz, unigram and 5-gram on the same text: baselines.json
together       continuations of many prompts, in batches where the generator can
samples        fixed prompts, generated text, diversity, loops, broken characters
memorised      the longest run that samples copy from the training text, exactly
chat_eval      loss of the answers; generated answers against a nearest-question baseline
verdict, chat_verdict, findings    what the numbers mean, by rules with written thresholds
run_eval       all of it within a given time: eval.json
metrics        measures of labels, tags, answers, translations, transcripts; intervals and tests
likelihood     questions with options, answered by what is likeliest: BLiMP, CMMLU and others

Generators, conversations and texts are handed in; nothing here reads a run directory.
"""

from homespun.evaluation.baselines import run_baselines
from homespun.evaluation.bits_per_byte import (
    DecoderLanguageModel,
    DocumentScores,
    quick_validation,
    score_documents,
    score_model,
)
from homespun.evaluation.chat_eval import answer_loss, evaluate_chat
from homespun.evaluation.intervals import bootstrap_ratio
from homespun.evaluation.memorised import CopyFinder, find_copies
from homespun.evaluation.run_eval import ChatSubject, EvaluationData, evaluate_run
from homespun.evaluation.samples import choose_prompts, diversity, has_loop, write_samples
from homespun.evaluation.verdict import verdict

__all__ = [
    "ChatSubject",
    "CopyFinder",
    "DecoderLanguageModel",
    "DocumentScores",
    "EvaluationData",
    "answer_loss",
    "bootstrap_ratio",
    "choose_prompts",
    "diversity",
    "evaluate_chat",
    "evaluate_run",
    "find_copies",
    "has_loop",
    "quick_validation",
    "run_baselines",
    "score_documents",
    "score_model",
    "verdict",
    "write_samples",
]
