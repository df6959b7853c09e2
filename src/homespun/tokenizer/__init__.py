"""Text to ids and back; sole owner of special tokens, chat templates and loss masks.

special     the eight control tokens, and which of them do what
layout      how a tokenizer lies in `tokenizer.json`: bytes, splits, vocabulary, merges
training    learn a vocabulary from a sample of the corpus; how large it should be
extension   more merges on top of those a tokenizer has
encoding    ByteLevelTokenizer: encode, decode, encode_chat, save
dropping    cut otherwise, at random, for a model that learns
encoders    the fast ways from text to ids, one for merges, one for look-up
loading     read one back, or say clearly why not
chat        the Jinja template, and which of its words the model is trained to say
statistics  what the vocabulary is worth per language; pieces for display
imported    tokenizers that come with a model from elsewhere; ours in llama.cpp's terms
reference   training and encoding again, slow and obvious, to check the fast ones against

Every text round-trips: whatever has no token of its own falls back to its UTF-8 bytes. A control
string inside ordinary text or a chat message is ordinary text; only the template makes control ids.
"""

from homespun.tokenizer.chat import ChatPiece, ChatTemplate, default_chat_template
from homespun.tokenizer.dropping import DroppingEncoder
from homespun.tokenizer.encoding import ByteLevelTokenizer
from homespun.tokenizer.extension import check_extension, extend_tokenizer, pieces_of
from homespun.tokenizer.imported import (
    GgufVocabulary,
    ImportedTokenizer,
    gguf_vocabulary,
    read_tokenizer_files,
)
from homespun.tokenizer.loading import load_tokenizer, open_tokenizer
from homespun.tokenizer.special import END_OF_TEXT, END_OF_TURN, SPECIAL_TOKENS, START_OF_TURN
from homespun.tokenizer.statistics import display_text, split_for_display, tokenizer_stats
from homespun.tokenizer.training import (
    TokenizerConfig,
    choose_vocab_size,
    sample_texts,
    train_tokenizer,
)

__all__ = [
    "END_OF_TEXT",
    "END_OF_TURN",
    "SPECIAL_TOKENS",
    "START_OF_TURN",
    "ByteLevelTokenizer",
    "ChatPiece",
    "ChatTemplate",
    "DroppingEncoder",
    "GgufVocabulary",
    "ImportedTokenizer",
    "TokenizerConfig",
    "check_extension",
    "choose_vocab_size",
    "default_chat_template",
    "display_text",
    "extend_tokenizer",
    "gguf_vocabulary",
    "load_tokenizer",
    "open_tokenizer",
    "pieces_of",
    "read_tokenizer_files",
    "sample_texts",
    "split_for_display",
    "tokenizer_stats",
    "train_tokenizer",
]
