"""What is inside files: encodings, long texts, markup and rows.

encodings   which bytes are text, and in which encoding; decoding as a stream
chunks      long texts cut at paragraph borders
markup      HTML and reStructuredText as readable text
markdown    Markdown without what stands in it for programs
tables      JSON lines, JSON collections, CSV, TSV and Parquet
epub, docx, odt    books and office documents; package, prose    what they are made of
pdf         PDF, where the extra is installed
mail, quotes    mails, and what in them was written by another
special     the conventions of some named corpora

Import from the modules: a reader of plain text does not wait for what tables need.
"""

__all__: list[str] = []
