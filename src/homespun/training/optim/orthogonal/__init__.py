"""What Muon makes of its gradients: matrices whose singular values are all about 1.

methods       `orthogonalise`, in three ways
coefficients  the numbers of each, from the recipes of their papers
inverse       inverses of many matrices at once
"""

from homespun.training.optim.orthogonal.methods import Method, orthogonalise

__all__ = ["Method", "orthogonalise"]
