"""Texts as vectors, learned from pairs that belong together: questions and answers, paraphrases.

task     Embed: what it wants of a row, and how often the right partner is found
overlap  partners by the words they share
pooling  how an encoder that came from elsewhere makes vectors
encoder  an encoder, taught by telling pairs apart
"""

from homespun.recipes.applications.embed.task import Embed, Partner, Twins

__all__ = ["Embed", "Partner", "Twins"]
