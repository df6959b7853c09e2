"""Texts into classes: sentiment, topic, spam, offence; one class a text, or any number of them.

task      Classify: what it wants of a row, and how good answers are
linear    TF-IDF of words and characters, logistic regression; naive Bayes on counts
rules     a learned lexicon with negation, the oldest way to tell for from against
majority  the commonest class, whatever the text
cnn       TextCNN over learned vectors; starts: those of a file, to begin with
encoder   an encoder, pretrained or from nothing, with a layer on it
"""

from homespun.recipes.applications.classify.task import Classify, Labels, Text

__all__ = ["Classify", "Labels", "Text"]
