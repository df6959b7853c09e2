"""The control tokens. Nothing else in the project writes one of these strings.

They take the last ids of a vocabulary, in this order, so that ids 0 to 255 are the bytes. All begin
with `<|` and end with `|>`, which `chat` relies on.
"""

from __future__ import annotations

END_OF_TEXT = "<|endoftext|>"
"""Separates documents."""
START_OF_TURN = "<|im_start|>"
"""Begins a chat message."""
END_OF_TURN = "<|im_end|>"
"""Ends a chat message; generation of an answer stops here."""
PAD = "<|pad|>"
MASK = "<|mask|>"
SEPARATOR = "<|sep|>"
CLASSIFY = "<|cls|>"
"""Fill of batches, and the marks of masked and paired-text models."""
UNUSED = "<|unused|>"
"""Free for a user's own fine-tuning, so that the embedding need not grow."""

SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    START_OF_TURN,
    END_OF_TURN,
    PAD,
    MASK,
    SEPARATOR,
    CLASSIFY,
    UNUSED,
)

SPECIAL_ROLES: dict[str, str] = {
    "bos_token": END_OF_TEXT,
    "eos_token": END_OF_TURN,
    "pad_token": PAD,
    "mask_token": MASK,
    "sep_token": SEPARATOR,
    "cls_token": CLASSIFY,
}
"""The names Hugging Face gives to the parts these tokens play."""
