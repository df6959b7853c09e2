"""Bags of words: a text as counts of what stands in it, and classifiers of such counts.

features    units and their n-grams, parts of words; counts and TF-IDF
classifier  logistic regression and naive Bayes over them, one label a text or several

scikit-learn does the counting and the optimisation; nothing it makes is pickled.
"""

from homespun.classic.bags.classifier import BagClassifier, Kind
from homespun.classic.bags.features import BagFeatures

__all__ = ["BagClassifier", "BagFeatures", "Kind"]
