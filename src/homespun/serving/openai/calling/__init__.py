"""What a model is told and says beside its answer.

tools     what it is told of tools
calls     the calls it makes
thoughts  what it thinks in words before it answers
"""
