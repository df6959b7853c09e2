"""Many prompts of a file, answered together into another file.

lines     what a line of the input asks
answers   the file of answers, which outlives a killed process
run       reads, answers in continuous batches, and writes
"""

from homespun.recipes.batch.run import BatchResult, generate_file

__all__ = ["BatchResult", "generate_file"]
