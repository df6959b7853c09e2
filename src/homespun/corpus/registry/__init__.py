"""Corpora that have a name: what they are, where they come from, and how to get them.

entries   the table, read from entries.json
fetching  looks in $HOMESPUN_DATA, then in the cache, then downloads and checks
"""

from homespun.corpus.registry.entries import (
    CorpusEntry,
    RemoteFile,
    find_entry,
    named_corpora,
    names,
)
from homespun.corpus.registry.fetching import (
    cache_folder,
    data_folder,
    download,
    locate,
    locate_files,
)

__all__ = [
    "CorpusEntry",
    "RemoteFile",
    "cache_folder",
    "data_folder",
    "download",
    "find_entry",
    "locate",
    "locate_files",
    "named_corpora",
    "names",
]
