"""Tokenizers that come with a model from elsewhere.

files         the tokenizer in a Hugging Face folder, as one tokenizer.json and what is said of it
sentencepiece `tokenizer.model` files as a tokenizer.json
pieces        the bytes that each token of a tokenizer.json stands for
unmarked      control tokens that are not marked as such
vocabulary    BERT's vocab.txt as a tokenizer.json
tokenizer     ImportedTokenizer: encode, decode, encode_chat, with the `tokenizers` library
gguf          a tokenizer.json, ours too, in the terms of llama.cpp
"""

from homespun.tokenizer.imported.files import ImportedFiles, read_tokenizer_files
from homespun.tokenizer.imported.gguf import GgufVocabulary, gguf_vocabulary
from homespun.tokenizer.imported.tokenizer import ImportedTokenizer, Marks

__all__ = [
    "GgufVocabulary",
    "ImportedFiles",
    "ImportedTokenizer",
    "Marks",
    "gguf_vocabulary",
    "read_tokenizer_files",
]
