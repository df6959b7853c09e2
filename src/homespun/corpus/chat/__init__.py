"""Conversations that a model is fine-tuned on.

build             `build_chat`: the stage; picks the material, splits, writes files and card
read, forms       users' own files, in the four forms chat data is shared in
python/           questions and answers about the Python documentation
texts             questions made from any documents; with sentences, text_phrasings
identity          who the assistant is, from identity.jsonl
choices           hash-based choices

Made answers are taken from the text, never invented: what cannot be quoted cleanly is left out.
"""

from homespun.corpus.chat.build import ChatConfig, build_chat
from homespun.corpus.chat.identity import load_identity
from homespun.corpus.chat.read import ReadCounts, read_conversations

__all__ = ["ChatConfig", "ReadCounts", "build_chat", "load_identity", "read_conversations"]
