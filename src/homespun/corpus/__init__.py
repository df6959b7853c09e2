"""From raw files to clean documents, and from documents to tokens on disk.

build       read, clean, deduplicate, divide: `build_corpus` writes documents and card.json
config      what can be chosen
clean, dedup, near, language, split    one step each, usable alone; hashset serves two of them
card, documents, api_entries    the data card; reading and writing `.jsonl.zst`
sources/    readers by format, encodings, archives, the embedded corpora `python`, `python-code`
registry/   named corpora: the table, and finding or downloading them
shards      documents as token files; `open_split` gives a split as one array
tagging     what a tagger that is handed in finds in the documents
script      Chinese in one script
chat/       conversations for fine-tuning

Names load when they are first used, so listing corpora does not wait for array libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.corpus.build import build_corpus
    from homespun.corpus.card import inspect_corpus, read_card
    from homespun.corpus.chat import build_chat, read_conversations
    from homespun.corpus.config import CorpusConfig
    from homespun.corpus.documents import iter_documents
    from homespun.corpus.registry import CorpusEntry, download, locate, named_corpora
    from homespun.corpus.script import SCRIPTS, in_script
    from homespun.corpus.shards import ShardIndex, open_split, verify_shards, write_shards
    from homespun.corpus.tagging import tag_corpus

__all__ = [
    "SCRIPTS",
    "CorpusConfig",
    "CorpusEntry",
    "ShardIndex",
    "build_chat",
    "build_corpus",
    "download",
    "in_script",
    "inspect_corpus",
    "iter_documents",
    "locate",
    "named_corpora",
    "open_split",
    "read_card",
    "read_conversations",
    "tag_corpus",
    "verify_shards",
    "write_shards",
]

_HOMES = {
    "build": ("build_corpus",),
    "card": ("inspect_corpus", "read_card"),
    "chat": ("build_chat", "read_conversations"),
    "config": ("CorpusConfig",),
    "documents": ("iter_documents",),
    "registry": ("CorpusEntry", "download", "locate", "named_corpora"),
    "script": ("SCRIPTS", "in_script"),
    "shards": ("ShardIndex", "open_split", "verify_shards", "write_shards"),
    "tagging": ("tag_corpus",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
