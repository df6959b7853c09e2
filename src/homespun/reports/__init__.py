"""One page about a run: what was asked, what was read, how it learned, how good it became.

collect    reads the JSON files of a run, whichever there are
views      what the sections on text and training show
changes    what a run that goes on from another shows of it
findings   what the sections on results show
curves     rows of metrics.jsonl as lines to draw
plots      those lines as SVG in the colours of the page
wording    numbers and texts as a person reads them
families   a bar for each kind of model
words      words where they differ most
picture    how all pictures are drawn
task       the page of a learned task
render     puts the page together
templates  the page and its style

Reads JSON only, needs no torch, and loads nothing from the network, neither now nor when opened.
"""

from homespun.reports.render import write_report
from homespun.reports.task import write_task_report

__all__ = ["write_report", "write_task_report"]
