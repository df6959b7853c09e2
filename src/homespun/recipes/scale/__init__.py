"""The scaling law at work: measured, tested, and searched beyond.

shapes     decoders of any width and depth
sweep      every run of a grid, from nothing; the fit of the law to them
hold_out   a run ten times larger, foretold before it is trained
pilot      a short training of the text at hand, which ties it to the law
tune       a search over rates, shape and regularisation; aim: what its trials have in common;
           tuned: the settings it found
options    the shapes a plan may take, and the one of least loss
ask        what a plan is asked for, and a preset's answer; propose: the answers, measured
room       which of them fit into memory and disk
ramped     rows and context that grow, as people write them
table      the n-gram table beside fast models, and how good it is alone
"""

from homespun.recipes.scale.shapes import decoder_shape, multiplied_parameters, shape_name, size_of

__all__ = ["decoder_shape", "multiplied_parameters", "shape_name", "size_of"]
