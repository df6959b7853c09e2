"""Run directories as a spin leaves them, made of nothing: one English, one Chinese."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

RUN_FILES = (
    "corpus/card.json",
    "chat/card.json",
    "tokenizer_stats.json",
    "shards/index.json",
    "plan.json",
    "baselines.json",
    "eval.json",
    "timings.json",
    "pretrain/metrics.jsonl",
    "pretrain/done.json",
    "sft/metrics.jsonl",
    "sft/done.json",
)

_TEXTS: dict[str, Any] = {
    "en": {
        "source": "/home/me/library docs",
        "languages": {"en": 0.93, "code": 0.07},
        "sources": ["functions.rst", "stdtypes.rst", "asyncio-task.rst", "json.rst", "re.rst"],
        "bytes_per_token": 3.71,
        "longest": [
            " NotImplementedError",
            "----------------",
            " implementation",
            "\\n    ",
            "\\xE4",
        ],
        "prompts": ["", "The function returns", "To install", "Note that", "def "],
        "text": " the number of items that were read from the file.\n\n"
        "If *flags* is given, the result is a new object::\n\n"
        "    >>> import json\n    >>> json.dumps([1, 2, 3])\n    '[1, 2, 3]'\n\n"
        "The default is :const:`True`, which means that the value of the argument is "
        "not changed. See also the module documentation for the list of all functions.",
        "question": "What does json.dumps do?",
        "answer": "It serialises an object to a JSON formatted string.",
        "summary": "Clearly better than the 5-gram; its samples are mostly sound.",
    },
    "zh": {
        "source": "/home/me/红楼梦",
        "languages": {"zh": 0.99, "und": 0.01},
        "sources": ["红楼梦.txt", "西游记.txt", "水浒传.txt"],
        "bytes_per_token": 4.12,
        "longest": ["不知端的，且听下回分解", "话说", "宝玉听了", "\\xE5\\xB0"],
        "prompts": ["", "话说", "宝玉", "第二天", "有一天"],
        "text": "听了这话，忙笑道：“好姐姐，你别恼，我再不敢了。”\n\n"
        "　　黛玉冷笑道：“你也不用哄我。从今以后，我也不敢亲近二爷，二爷也全当我去了。”"
        "宝玉听了笑道：“你往那里去呢？”林黛玉道：“我回家去。”宝玉笑道：“我跟了你去。”",
        "question": "林黛玉是谁？",
        "answer": "林黛玉是贾母的外孙女，宝玉的表妹。",
        "summary": "比五元模型好得多；没有过拟合的迹象。",
    },
}


def make_run(folder: Path, language: str = "en", *, curves: bool = True, seed: int = 0) -> Path:
    """A whole run in `folder` / NAME; delete files to have an unfinished one.

    Without `curves` there are no metrics.jsonl: drawing is what takes time.
    """
    run = folder / f"{language}-run"
    noise = random.Random(seed)
    text = _TEXTS[language]
    pretrain = [*_rows(noise, steps=1500, start=8.2, end=2.9, text=text, with_bits=True)]
    sft = [*_rows(noise, steps=200, start=3.6, end=2.1, text=text, with_bits=False)]
    _write(run / "run.json", _record(run.name, text))
    _write(run / "corpus/card.json", _card(text))
    _write(run / "chat/card.json", {"format": 1, "splits": {}})
    _write(run / "tokenizer_stats.json", _tokenizer_stats(text))
    _write(run / "shards/index.json", _shards(text))
    _write(run / "plan.json", _plan())
    _write(run / "baselines.json", _baselines())
    _write(run / "eval.json", _evaluation(text))
    _write(run / "timings.json", _timings())
    for stage, rows in (("pretrain", pretrain), ("sft", sft)):
        _write(run / stage / "done.json", _done(rows))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if curves:
            (run / stage / "metrics.jsonl").write_text(lines, encoding="utf-8")
    return run


def change(path: Path, *keys: str | int, to: Any) -> None:
    """Set one value inside a JSON file."""
    whole = value = json.loads(path.read_text(encoding="utf-8"))
    for key in keys[:-1]:
        value = value[key]
    value[keys[-1]] = to
    _write(path, whole)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _record(name: str, text: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": 1,
        "name": name,
        "created": "2025-03-02T08:15:00Z",
        "seed": 7,
        "asked": {
            "command": "spin",
            "source": text["source"],
            "minutes": 10.0,
            "steps": None,
            "language": "auto",
            "chat": None,
        },
        "versions": {"python": "3.11.9", "homespun": "0.1.0", "torch": "2.8.0", "numpy": "2.1.0"},
        "machine": {
            "system": "Linux 6.1",
            "processor": "An Ordinary Processor 5600 @ 3.5 GHz",
            "cores": 2,
            "memory_bytes": 16_000_000_000,
            "python": "cpython",
        },
    }


def _card(text: dict[str, Any]) -> dict[str, Any]:
    total = 8_123_456
    sources = text["sources"]
    return {
        "format": 1,
        "name": "library",
        "splits": {
            "train": {"documents": 412, "bytes": 7_400_000, "characters": 7_300_000},
            "validation": {"documents": 22, "bytes": 410_000, "characters": 400_000},
            "test": {"documents": 23, "bytes": 313_456, "characters": 310_000},
        },
        "languages": {
            code: {"documents": round(457 * share), "bytes": round(total * share)}
            for code, share in text["languages"].items()
        },
        "sources": {
            name: {"documents": 40 - i, "bytes": round(total / 2 ** (i + 1))}
            for i, name in enumerate(sources)
        },
        "encodings": {"utf-8": 455, "gb18030": 2},
        "read": {"documents": 530, "bytes": 9_950_000, "files": 530},
        "dropped": {
            "exact_duplicate": {
                "documents": 31,
                "bytes": 900_000,
                "explanation": "the same text as another document, after cleaning",
            },
            "repeated_paragraph": {
                "paragraphs": 812,
                "bytes": 310_000,
                "explanation": "a paragraph that stands in three documents or more",
            },
            "too_short": {
                "documents": 42,
                "bytes": 2_100,
                "explanation": "fewer than 200 letters",
            },
        },
        "unreadable": [{"path": "old/broken.doc", "why": "not text in any known encoding"}],
        "seconds": 6.4,
        "config": {},
    }


def _tokenizer_stats(text: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": 1,
        "vocab_size": 4096,
        "vocabulary_used": 0.942,
        "languages": {
            code: {
                "documents": 22,
                "bytes": 400_000,
                "characters": 390_000,
                "tokens": 105_000,
                "bytes_per_token": text["bytes_per_token"],
                "tokens_per_character": 0.27,
                "vocabulary_used": 0.9,
                "byte_fallback": 0.0004,
            }
            for code in text["languages"]
        },
        "longest_tokens": [
            {"id": i, "bytes": len(token), "text": token} for i, token in enumerate(text["longest"])
        ],
        "config": {"kind": "bpe", "vocab_size": 4096},
        "seconds": 2.2,
    }


def _shards(text: dict[str, Any]) -> dict[str, Any]:
    ratio = text["bytes_per_token"]
    sizes = {"train": (412, 7_400_000), "validation": (22, 410_000)}
    return {
        "format": 1,
        "dtype": "uint16",
        "vocab_size": 4096,
        "tokenizer_sha256": "0" * 64,
        "splits": {
            split: {
                "tokens": round(size / ratio),
                "documents": documents,
                "bytes": size,
                "files": [],
            }
            for split, (documents, size) in sizes.items()
        },
    }


def _plan() -> dict[str, Any]:
    return {
        "format": 1,
        "asked": {"seconds": 390.0, "steps": None, "size": None},
        "size": "1m",
        "parameters": 1_328_512,
        "model": {
            "vocab_size": 4096,
            "num_layers": 4,
            "width": 128,
            "num_heads": 4,
            "num_kv_heads": 4,
            "head_width": 32,
            "mlp_width": 352,
            "context": 256,
            "rope_base": 10000.0,
            "tied": True,
            "qk_norm": True,
            "norm_eps": 1e-6,
        },
        "rows": 16,
        "seconds": 390.0,
        "num_steps": None,
        "expected_tokens": 6_300_000,
        "expected_epochs": 3.2,
        "speeds": [
            {"size": "1m", "parameters": 1_328_512, "tokens_per_second": 16_200.0},
            {"size": "2m", "parameters": 2_300_000, "tokens_per_second": 8_900.0},
        ],
        "reason": "1.3M parameters read 6.3M tokens in the time, 4.7 for each parameter",
        "compute_dtype": "bfloat16",
    }


def _rows(
    noise: random.Random,
    *,
    steps: int,
    start: float,
    end: float,
    text: dict[str, Any],
    with_bits: bool,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        done = step / steps
        loss = end + (start - end) * math.exp(-9 * done**0.6)
        rate = 6e-3 * min(1.0, done / 0.02) * min(1.0, (1 - done) / 0.6)
        rows.append(
            {
                "kind": "train",
                "step": step,
                "tokens": step * 4096,
                "epoch": step * 4096 / 2_000_000,
                "loss": None if step == 40 else loss + noise.gauss(0, 0.08),
                "lr": rate,
                "grad_norm": 0.7,
                "skipped": step == 40,
                "seconds": 0.26 * step,
                "tokens_per_second": 15_800.0,
            }
        )
        if step % (steps // 20) == 0:
            value = loss + 0.06 * done
            row = {"kind": "eval", "step": step, "tokens": step * 4096, "loss": value}
            if with_bits:
                row["bits_per_byte"] = value / math.log(2) / text["bytes_per_token"]
            rows.append({**row, "seconds": 0.26 * step, "split": "validation"})
    return rows


def _done(rows: list[dict[str, Any]]) -> dict[str, Any]:
    last = [row for row in rows if row["kind"] == "train"][-1]
    result = {
        "steps": last["step"],
        "tokens": last["tokens"],
        "epochs": last["epoch"],
        "seconds": last["seconds"],
        "final_loss": last["loss"],
        "skipped_steps": 1,
        "stopped": "time",
        "peak_memory_bytes": 910_000_000,
        "evaluation": {},
    }
    return {"format": 1, "result": result}


def _baselines() -> dict[str, Any]:
    values = {"xz": 1.986, "unigram": 2.874, "5-gram": 1.612}
    return {
        "format": 1,
        "split": "validation",
        "num_bytes": 410_000,
        "num_documents": 22,
        "models": [
            {"name": name, "bits_per_byte": value, "seconds": 3.1, "detail": {}}
            for name, value in values.items()
        ],
    }


def _evaluation(text: dict[str, Any]) -> dict[str, Any]:
    scored = {"nats_per_token": 3.0, "perplexity": 20.1, "tokens": 80_000, "bytes": 300_000}
    settings = {"temperature": 0.8, "top_k": 0, "top_p": 0.95, "min_p": 0.0, "max_tokens": 120}
    prompts = text["prompts"] * 2
    answer = text["answer"]
    means = {"rouge_l": 0.412, "rouge_l_nearest_question": 0.351, "num_questions": 30}
    return {
        "format": 1,
        "model": {
            "parameters": 1_328_512,
            "layers": 4,
            "width": 128,
            "vocab_size": 4096,
            "context": 256,
        },
        "validation": {
            **scored,
            "bits_per_byte": 1.203,
            "interval": [1.171, 1.238],
            "complete": False,
            "against": {"5-gram": {"bits_per_byte": 1.608, "lead": 0.25, "interval": [0.2, 0.3]}},
        },
        "train": {**scored, "bits_per_byte": 1.141, "interval": [1.11, 1.17]},
        "gap": {
            "bits_per_byte": 0.062,
            "share": 0.054,
            "outcome": "does not",
            "overfitting": False,
        },
        "samples": [
            {"prompt": prompt, "text": text["text"], "settings": {**settings, "seed": i}}
            for i, prompt in enumerate(prompts)
        ],
        "diversity": {
            "distinct_1": 0.41,
            "distinct_2": 0.83,
            "distinct_3": 0.96,
            "repeating_samples": 0.1,
            "num_samples": len(prompts),
        },
        "memorised": {
            "longest_copied_characters": 74,
            "longest_copied_text": text["text"][:74],
            "share_copied_50": 0.031,
        },
        "chat": {
            **means,
            "answer_loss": 2.08,
            "answer_bits_per_byte": 0.911,
            "num_questions": 60,
            "interval": [0.38, 0.44],
            "difference": 0.061,
            "difference_interval": [0.03, 0.09],
            "identity": {**means, "num_questions": 4},
            "examples": [
                {
                    "question": text["question"],
                    "answer": answer if i else "",
                    "reference": answer,
                    "nearest": answer[::-1],
                    "category": "identity",
                    "rouge_l": 0.4,
                }
                for i in range(10)
            ],
            "by_category": {"identity": means, "text.next": {**means, "num_questions": 5}},
        },
        "peak_memory_bytes": 1_310_000_000,
        "verdict": {
            "summary": text["summary"],
            "sections": {
                "baselines": "The model needs 25% fewer bits than the best baseline, 5-gram.",
                "overfitting": "Overfits little: unseen text costs 5% more bits than training "
                "text.",
                "chat": "Answers better than looking up (ROUGE-L 0.41 against 0.35).",
            },
            "points": [
                {"kind": "good", "text": "Clearly better than the 5-gram (1.203 against 1.608)."},
                {"kind": "bad", "text": "One sample in ten runs in circles."},
                {"kind": "note", "text": "In the time there was, 300,000 bytes were scored."},
            ],
            "next": [
                "Give it more minutes (`--minutes 30`).",
                "Add more text of the same kind: it has read all of it three times.",
            ],
        },
    }


def _timings() -> dict[str, Any]:
    lengths = {
        "corpus": 6.4,
        "conversations": 3.0,
        "tokenizer": 3.9,
        "baselines": 24.0,
        "plan": 8.3,
        "pretrain": 391.0,
        "chat": 83.5,
        "evaluate": 48.0,
        "report": 1.4,
    }
    stages, now = {}, 0.0
    for name, seconds in lengths.items():
        stages[name] = [round(now, 2), round(now + seconds, 2)]
        now += seconds
    return {"stages": stages, "peak_memory_bytes": 1_200_000_000}
