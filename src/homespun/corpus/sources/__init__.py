"""Where documents come from.

open       what a user names (folder, file, corpus) as a stream of documents
read       one file in, documents out; what is done when a file cannot be read
files, archives    finding files; opening them unpacked, within bounds
items      what readers are given and what they give
formats/   encodings, cutting long texts, markup, rows
embedded   the corpora `python` and `python-code`, from the installation itself
python_docs        pages and entries of documentation; `iter_api_entries`
python_modules, python_entries, python_compiled    which files, how one is parsed, what has no file

Import from the modules: each needs other libraries.
"""

__all__: list[str] = []
