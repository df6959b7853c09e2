"""Ask KenLM and sentence-transformers anew what `golden/` keeps of them: `make golden`.

Their answers are numbers to compare with where they are not installed; the texts are our own. The
encoder in `golden/encoder` has random weights and is written once, by sentence-transformers.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from golden_texts import CASES, ENCODER, NGRAMS, SENTENCES, TEXTS, VECTORS, held_out

from homespun.classic.kneser_ney import KneserNeyModel
from homespun.tokenizer.pieces import train_pieces

COMMAND = "make golden"


def ngrams() -> dict[str, Any]:
    """log10 of each token and the end, of each sentence, as KenLM reads our ARPA files."""
    import kenlm  # type: ignore[import-not-found]

    cases = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        for name, order, discounts, min_count in CASES:
            model = KneserNeyModel(order=order, discounts=discounts, min_count=min_count)
            model.fit(TEXTS[name]).write_arpa(path)
            theirs = kenlm.Model(str(path))
            scores = [
                [round(row[0], 6) for row in theirs.full_scores(" ".join(words))]
                for words in held_out(TEXTS[name])
            ]
            cases.append(
                {
                    "text": name,
                    "order": order,
                    "discounts": discounts,
                    "min_count": min_count,
                    "log10": scores,
                }
            )
    return {"package": "kenlm", "version": version("kenlm"), "command": COMMAND, "cases": cases}


def make_encoder() -> None:
    """A BERT of two narrow layers, its tokenizer, and how its vectors are made."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
    from sentence_transformers.models import (  # type: ignore[import-not-found]
        Normalize,
        Pooling,
        Transformer,
    )

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = ["".join(words) for text in TEXTS.values() for words in text] + SENTENCES
        tokenizer = train_pieces(texts, vocab_size=200, lowercase=True)
        tokenizer.save(folder)
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        transformers.BertModel(config).save_pretrained(folder)
        read = Transformer(str(folder), max_seq_length=32)
        model = SentenceTransformer(modules=[read, Pooling(16, pooling_mode="mean"), Normalize()])
        model.save(str(ENCODER), create_model_card=False)


def vectors() -> dict[str, Any]:
    """Of each sentence, read alone, its mean vector and that of its first token."""
    from sentence_transformers import SentenceTransformer

    found = {"mean": ENCODER}
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        found["cls"] = first = Path(name) / "encoder"
        shutil.copytree(ENCODER, first)
        path = first / "1_Pooling" / "config.json"
        path.write_text(path.read_text("utf-8").replace('"mean"', '"cls"'), encoding="utf-8")
        for pooling, folder in found.items():
            model = SentenceTransformer(str(folder), device="cpu")
            rows[pooling] = [
                [round(float(value), 7) for value in model.encode(text)] for text in SENTENCES
            ]
    return {
        "package": "sentence-transformers",
        "version": version("sentence-transformers"),
        "command": COMMAND,
        "vectors": rows,
    }


def main() -> None:
    if not ENCODER.is_dir():
        make_encoder()
    for path, told in ((NGRAMS, ngrams()), (VECTORS, vectors())):
        path.write_text(json.dumps(told) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path}: {told['package']} {told['version']}\n")


if __name__ == "__main__":
    main()
