"""How long does a 5-gram of 30 MB of text take, in how much memory, and how fast does it answer?

    python benchmarks/ngram.py --json out.json
    python benchmarks/ngram.py --order 3 --kernels numpy --text book.txt --text 红楼梦.txt

The text is $HOMESPUN_DATA/gutenberg-classics (31 MB), or the files given; a sentence is a line
with something in it, its units English words, Chinese characters and punctuation. One sentence in
a hundred is held out, drawn by its place. All is done by one thread; memory is the
process's highest so far, Python and the held-out text included. KenLM answers too where it is
installed, from the ARPA file, beside the largest difference of its answers from ours.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from homespun.classic.kneser_ney import KneserNeyModel, words_and_marks

HELD_OUT_EVERY = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, action="append", help="instead of the classics")
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--discounts", choices=["modified", "absolute"], default="modified")
    parser.add_argument("--min-count", type=int, default=2, help="rarer words are <unk>")
    parser.add_argument("--kernels", choices=["auto", "native", "numpy"], default="auto")
    parser.add_argument("--arpa", action="store_true", help="write and read an ARPA file too")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()

    names = sorted(args.text) if args.text else None
    held_out = [
        words_and_marks(line)
        for number, line in enumerate(lines(names))
        if number % HELD_OUT_EVERY == 0
    ]
    result: dict[str, Any] = {
        "order": args.order,
        "discounts": args.discounts,
        "kernels": args.kernels,
        "min_count": args.min_count,
        "load_average_before": [round(value, 1) for value in os.getloadavg()],
        "peak_mb_before": peak_mb(),
    }
    read = {"bytes": 0, "tokens": 0, "split_seconds": 0.0}

    def sentences() -> Iterator[list[str]]:
        for number, line in enumerate(lines(names)):
            if number % HELD_OUT_EVERY:
                started = time.perf_counter()
                words = words_and_marks(line)
                read["split_seconds"] += time.perf_counter() - started
                read["bytes"] += len(line.encode("utf-8")) + 1
                read["tokens"] += len(words) + 1
                yield words

    model = KneserNeyModel(
        order=args.order,
        discounts=args.discounts,
        min_count=args.min_count,
        kernels=args.kernels,
    )
    started, cpu = time.perf_counter(), time.process_time()
    model.fit(sentences())
    result |= {
        "train_seconds": round(time.perf_counter() - started, 2),
        "train_cpu_seconds": round(time.process_time() - cpu, 2),
        "of_which_splitting_words": round(read["split_seconds"], 2),
        "train_mb": round(read["bytes"] / 1e6, 2),
        "train_tokens": read["tokens"],
        "peak_mb": peak_mb(),
        "words": len(model.vocabulary),
        "ngrams": model.num_ngrams,
        "table_mb": round(model.num_bytes / 1e6),
    }
    result |= queries(model, held_out)
    if args.arpa:
        result |= through_arpa(model, held_out)
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def queries(model: KneserNeyModel, held_out: list[list[str]]) -> dict[str, Any]:
    """Speed of scoring, from words and of ids alone, and what the held-out text costs."""
    num_tokens = sum(len(words) + 1 for words in held_out)
    num_unknown = sum(word not in model.vocabulary for words in held_out for word in words)
    from_words, ids_alone = [], []
    for _ in range(3):
        cpu = time.process_time()
        perplexity = model.perplexity(held_out)
        from_words.append(time.process_time() - cpu)
        stream = model.vocabulary.stream(held_out)
        cpu = time.process_time()
        model.stream_log_probs(stream)
        ids_alone.append(time.process_time() - cpu)
    return {
        "held_out_tokens": num_tokens,
        "unknown_share": round(num_unknown / num_tokens, 4),
        "perplexity": round(perplexity, 2),
        "queries_per_cpu_second": round(num_tokens / min(ids_alone)),
        "queries_per_cpu_second_from_words": round(num_tokens / min(from_words)),
    }


def through_arpa(model: KneserNeyModel, held_out: list[list[str]]) -> dict[str, Any]:
    """Seconds to write and read the file, and how far the answers are from ours afterwards."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        cpu = time.process_time()
        model.write_arpa(path)
        result["arpa_write_cpu_seconds"] = round(time.process_time() - cpu, 1)
        result["arpa_mb"] = round(path.stat().st_size / 1e6)
        cpu = time.process_time()
        again = KneserNeyModel.read_arpa(path)
        result["arpa_read_cpu_seconds"] = round(time.process_time() - cpu, 1)
        ours = model.log_probs(held_out)
        result["arpa_difference_nats"] = float(np.abs(again.log_probs(held_out) - ours).max())
        del again
        try:
            import kenlm
        except ImportError:
            return result
        theirs = kenlm.Model(str(path))
        texts = [" ".join(words) for words in held_out]
        cpu = time.process_time()
        for text in texts:
            theirs.score(text)
        seconds = time.process_time() - cpu
        num_tokens = sum(len(words) + 1 for words in held_out)
        result["kenlm_queries_per_cpu_second"] = round(num_tokens / seconds)
        # A token at a time: KenLM adds a sentence up in single precision.
        log10 = np.array([row[0] for text in texts for row in theirs.full_scores(text)])
        tokens = np.concatenate([model.token_log_probs(words) for words in held_out])
        result["kenlm_difference_nats"] = float(np.abs(log10 * math.log(10) - tokens).max())
    return result


def lines(names: list[Path] | None) -> Iterator[str]:
    """Lines with something in them, of files or of the classics' archive."""
    if names is None:
        data = Path(os.environ.get("HOMESPUN_DATA", "../shared/data"))
        # In a stream, members come in the archive's order and none has to be kept.
        with tarfile.open(data / "gutenberg-classics/gutenberg-classics.tar.xz", "r|xz") as books:
            for member in books:
                handle = books.extractfile(member) if member.name.endswith(".md") else None
                if handle is not None:
                    yield from stripped(handle.read().decode("utf-8"))
    else:
        for name in names:
            yield from stripped(name.read_text("utf-8"))


def stripped(text: str) -> Iterator[str]:
    """Lines without the blanks around them, empty ones left out."""
    for line in text.splitlines():
        if line := line.strip():
            yield line


def peak_mb() -> int:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    raise SystemExit(main())
