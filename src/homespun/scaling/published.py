"""Exponents that others found, for the table beside ours, each with how it was checked.

`mark`: "read" where the number was read in a primary source (paper, repository or log), "quoted"
where it comes from notes that quote one, "memory" where it was not looked up again.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Mark = Literal["read", "quoted", "memory"]


class Published(NamedTuple):
    """Attributes:
    a, b: of N* ~ C^a and D* ~ C^b, None where not given.
    alpha, beta: of the loss in N and D, likewise.
    counting: which parameters N counts, and what else sets the study apart.
    """

    name: str
    source: str
    a: float | None
    b: float | None
    alpha: float | None
    beta: float | None
    counting: str
    mark: Mark


PUBLISHED = (
    Published(
        "Kaplan et al. 2020", "arXiv 2001.08361", 0.73, 0.27, 0.076, 0.095,
        "without embeddings; one schedule for all lengths", "quoted",
    ),
    Published(
        "nanoGPT, up to 6.3M", "github.com/shehper/scaling_laws", 0.72, None, 0.082, 0.122,
        "as Kaplan, at our scale; no floor E in the fit", "read",
    ),
    Published(
        "Hoffmann et al. 2022 (Chinchilla)", "arXiv 2203.15556", 0.49, 0.51, 0.34, 0.28,
        "all; 70M to 16B; three approaches give a = .50, .49, .46", "quoted",
    ),
    Published(
        "Besiroglu et al. 2024", "arXiv 2404.10102", 0.51, 0.49, 0.3478, 0.3658,
        "Chinchilla's points fitted again", "quoted",
    ),
    Published(
        "Muennighoff et al. 2023", "arXiv 2305.16264", None, None, 0.3527, 0.3527,
        "C4; alpha = beta by choice; R_D = 15.39, R_N = 5.31", "read",
    ),
    Published(
        "Porian et al. 2024, as Kaplan", "arXiv 2406.19146", 0.699, None, None, None,
        "head not counted, long warm-up, one rate", "quoted",
    ),
    Published(
        "Porian et al. 2024, mended", "arXiv 2406.19146", 0.518, None, None, None,
        "head counted, warm-up by size, rates tuned", "quoted",
    ),
    Published(
        "nanochat, matrices and head", "github.com/karpathy/nanochat dev/LOG.md", 0.54, 0.49,
        None, None, "as we count; Muon; about 10.5 tokens a parameter", "read",
    ),
    Published(
        "nanochat, all", "github.com/karpathy/nanochat dev/LOG.md", 0.37, 0.50, None, None,
        "value embeddings too, which cost no operations", "read",
    ),
    Published(
        "nanochat, blocks alone", "github.com/karpathy/nanochat dev/LOG.md", 0.70, 0.41, None,
        None, "without tables and head", "read",
    ),
)  # fmt: skip

# `factor` is of the law beside them: from its smallest to its largest run.
WHY_THEY_DIFFER = (
    "Which parameters are counted moves `a` more than anything else: nanochat's own runs give "
    "0.37, 0.54 or 0.70. At our sizes the head is a quarter to a half of a small model, so N "
    "without it grows faster with C than N with it (Pearce and Song 2024, arXiv 2406.12907). "
    "We count what every token is multiplied by, in N and in C alike.",
    "A law without a floor E bends its exponents to make up for it: Kaplan's and nanoGPT's 0.076 "
    "to 0.12 are slopes of a whole loss, ours and Chinchilla's are of what lies above E.",
    "Rates and batch that suit one size only punish the others. Ours follow rules by N and D, and "
    "every run decays to zero at its own end.",
    "Over a factor of {factor:.3g} in C, as here, E and the exponents are hardly told apart: their "
    "intervals are wide and strongly correlated, while predictions near the data are not.",
)
