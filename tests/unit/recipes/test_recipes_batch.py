"""A file of prompts becomes a file of answers, whatever happens on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.cli import main
from homespun.core import DataError, RequestError, RunError, SamplingSettings
from homespun.core.compile import found_compilers
from homespun.models import DecoderConfig, export_hf
from homespun.recipes import Run, generate_file, import_model, open_run
from homespun.recipes.batch import answers as answers_module
from homespun.recipes.batch import run as batch
from homespun.tokenizer import TokenizerConfig, train_tokenizer

SHORT = SamplingSettings(max_tokens=6, temperature=1.0, top_p=1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of an untrained model."""
    folder = tmp_path_factory.mktemp("model")
    texts = ["The fox ran over the hill, and the dog slept. 狐狸跑过山。"] * 50
    tokenizer = train_tokenizer(texts, config=TokenizerConfig(kind="bpe", vocab_size=300))
    config = DecoderConfig(
        vocab_size=300,
        num_layers=1,
        width=32,
        num_heads=2,
        num_kv_heads=1,
        head_width=16,
        mlp_width=48,
        context=64,
    )
    model = config.build(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(2))
    export_hf(model, config, [], folder, end_of_text_id=tokenizer.end_of_text_id)
    tokenizer.save(folder)
    path = tmp_path_factory.mktemp("runs") / "small"
    import_model(str(folder), path)
    return open_run(path)


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


PROMPTS = [{"prompt": f"The fox {'and the dog ' * (i % 4)}{i}"} for i in range(30)]


def test_each_line_is_answered_in_order_as_it_would_be_alone(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", PROMPTS)
    done = generate_file(run, source, tmp_path / "out.jsonl", SHORT)
    assert done == (30, 0, "")
    rows = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == list(range(1, 31))
    for number in (0, 7, 29):
        alone = run.generate(
            PROMPTS[number]["prompt"], max_tokens=6, temperature=1.0, top_p=1.0, seed=number
        )
        assert rows[number] == {
            "id": number + 1,
            "text": alone.text,
            "finish_reason": alone.finish_reason,
            "num_tokens": len(alone.token_ids),
            "num_prompt_tokens": alone.num_prompt_tokens,
        }
    assert len({row["text"] for row in rows}) > 20


def test_lines_may_chat_and_have_ids_and_settings_of_their_own(run: Run, tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        [
            {"id": "talk", "messages": [{"role": "user", "content": "狐狸"}]},
            {"id": 7, "prompt": "The", "settings": {"seed": 3, "stop": [" "], "logprobs": 2}},
            {"id": "three", "prompt": "The", "settings": {"num_answers": 3, "best_of": 4}},
            {
                "id": "yes",
                "prompt": "The",
                "settings": {"constraint": {"kind": "choice", "choices": ["yes", "no"]}},
            },
            {
                "id": "scored",
                "prompt": "The fox",
                "settings": {"logprobs": 1, "prompt_logprobs": True},
            },
        ],
    )
    assert generate_file(run, source, tmp_path / "out.jsonl", SHORT) == (5, 0, "")
    talk, stopped, three, choice, scored = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in (talk, stopped, three, choice)] == ["talk", 7, "three", "yes"]
    assert talk["num_prompt_tokens"] > 5
    assert " " not in stopped["text"]
    assert len(stopped["logprobs"]) == stopped["num_tokens"]
    assert len(three["answers"]) == 3
    assert three["answers"][0]["score"] >= three["answers"][2]["score"]
    assert choice["text"] in ("yes", "no")
    assert len(scored["prompt_logprobs"]) == scored["num_prompt_tokens"] - 1
    assert all(one["logprob"] <= one["top"][0][1] for one in scored["prompt_logprobs"])


BAD: list[tuple[str, str]] = [
    ("{", "not a JSON object"),
    ("[1]", "not a JSON object"),
    ('{"prompt": ""}', "the prompt is empty"),
    ('{"prompt": 5}', "no text"),
    ("{}", "prompt or messages"),
    ('{"prompt": "a", "messages": []}', "prompt or messages"),
    ('{"messages": [{"role": "user"}]}', "a role and a content"),
    ('{"messages": "hello"}', "a role and a content"),
    ('{"prompt": "a", "promt": 1}', "unknown field 'promt'"),
    ('{"prompt": "a", "settings": {"heat": 1}}', "unknown setting 'heat'"),
    ('{"prompt": "a", "settings": [1]}', "settings are an object"),
    ('{"prompt": "a", "settings": {"temperature": -1}}', "temperature must be"),
    ('{"prompt": "a", "settings": {"stop": "x"}}', "several strings"),
    ('{"prompt": "a", "settings": {"seed": "x"}}', "seed must be"),
    ('{"prompt": "a", "settings": {"stop_tokens": 5}}', "stop_tokens must be a list"),
    ('{"prompt": "a", "settings": {"stop": 5}}', "stop must be a list"),
    ('{"prompt": "a", "settings": {"logit_bias": [[5]]}}', "logit_bias must be pairs"),
    ('{"prompt": "a", "settings": {"constraint": {"kind": "poem"}}}', "a constraint has"),
    ('{"prompt": "' + "fox " * 90 + '"}', "window"),
]


def test_what_is_wrong_with_a_line_is_written_in_its_place(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("\n\n".join([*(line for line, _ in BAD), '{"prompt": "good"}']) + "\n")
    done = generate_file(run, source, tmp_path / "out.jsonl", SHORT)
    assert done[:2] == (len(BAD) + 1, len(BAD))
    *wrong, good = read(tmp_path / "out.jsonl")
    for row, (_, told) in zip(wrong, BAD, strict=True):
        assert told in row["error"]
        assert set(row) == {"id", "error"}
    assert good["num_tokens"] > 0
    assert not run.engine.has_work


class StopError(Exception):
    pass


def stopped_after(monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    """The next run is killed when it has written so many rows, in the middle of the next."""
    true = answers_module.Answers.add
    left = [num]

    def add(self: answers_module.Answers, row: dict[str, Any]) -> None:
        if left[0] == 0:
            self._file.write(b'{"id": "cut o')
            self._file.flush()
            raise StopError
        left[0] -= 1
        true(self, row)

    monkeypatch.setattr(answers_module.Answers, "add", add)


@pytest.mark.parametrize("num", [0, 1, 11, 29])
def test_a_killed_run_goes_on_and_the_file_is_the_same(
    num: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.jsonl", PROMPTS)
    generate_file(run, source, tmp_path / "whole.jsonl", SHORT)
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(batch, "MOST_WAITING", 5)
    with monkeypatch.context() as patch:
        stopped_after(patch, num)
        with pytest.raises(StopError):
            generate_file(run, source, out, SHORT)
    assert not run.engine.has_work
    kept = out.read_bytes().splitlines()[:num]
    asked: list[Any] = []
    true = run.engine.add_request
    monkeypatch.setattr(run.engine, "add_request", lambda r: asked.append(r) or true(r))
    assert generate_file(run, source, out, SHORT) == (30, 0, "")
    assert len(asked) == 30 - num
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert set(kept) <= set(out.read_bytes().splitlines())
    # Once more there is nothing to do; lines that are added later are answered then.
    assert generate_file(run, source, out, SHORT) == (30, 0, "")
    assert len(asked) == 30 - num
    with open(source, "a") as file:
        file.write('{"prompt": "more"}\n')
    assert generate_file(run, source, out, SHORT) == (31, 0, "")
    assert [row["id"] for row in read(out)] == list(range(1, 32))


def test_other_settings_prompts_or_files_are_not_mixed_in(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", PROMPTS[:3])
    out = tmp_path / "out.jsonl"
    generate_file(run, source, out, SHORT)
    before = out.read_bytes()
    with pytest.raises(RunError, match="begun otherwise: settings"):
        generate_file(run, source, out, SamplingSettings(max_tokens=5))
    write(source, [{"prompt": "changed"}, *PROMPTS[1:3]])
    with pytest.raises(RunError, match="begun otherwise: input"):
        generate_file(run, source, out, SHORT)
    assert out.read_bytes() == before
    own = write(tmp_path / "mine.jsonl", [{"text": "precious"}])
    with pytest.raises(RunError, match="not ours"):
        generate_file(run, source, own, SHORT)
    assert read(own) == [{"text": "precious"}]
    with pytest.raises(RequestError, match="one file"):
        generate_file(run, source, source, SHORT)


def test_only_one_process_writes_a_file(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", PROMPTS[:2])
    made_by = batch._made_by(run, SHORT)
    with (
        answers_module.open_answers(tmp_path / "out.jsonl", made_by, source),
        pytest.raises(RunError, match="another process"),
    ):
        generate_file(run, source, tmp_path / "out.jsonl", SHORT)


@pytest.mark.parametrize(
    ("rows", "told"),
    [([], "no lines"), ([{"id": 2}, {"prompt": "x"}], "lines 1 and 2 .* same id")],
)
def test_files_that_cannot_be_answered_are_refused_at_once(
    rows: list[Any], told: str, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        generate_file(run, write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", SHORT)
    with pytest.raises(DataError, match="missing"):
        generate_file(run, tmp_path / "none.jsonl", tmp_path / "out.jsonl", SHORT)
    with pytest.raises(RequestError, match="temperature"):
        generate_file(run, tmp_path, tmp_path / "out.jsonl", SamplingSettings(temperature=-1))
    assert not (tmp_path / "out.jsonl").exists()


@pytest.fixture
def generate(run: Run, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["generate", str(run.path), "--max-tokens", "6", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.skipif(not found_compilers(), reason="int8 and int4 want a C compiler")
def test_every_way_to_decode_is_an_option(generate: Any, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["red", "blue"]}')
    grammar = tmp_path / "grammar.lark"
    grammar.write_text('start: "go" | "stop"')
    ways: list[tuple[str, ...]] = [
        ("--beams", "4", "--beam-groups", "2", "--diversity-penalty", "1", "-n", "2"),
        ("--best-of", "3", "--typical", "0.9", "--min-p", "0.01"),
        ("--contrastive", "0.6", "--top-k", "4"),
        ("--lookup", "3", "--temperature", "0", "--frequency-penalty", "0.5"),
        ("--weights", "int8", "--bias", "65=5", "--ban", "66", "--stop-token", "67"),
        ("--weights", "int4", "--kernels", "native", "--min-tokens", "2"),
        ("--kernels", "torch", "--presence-penalty", "0.5", "--repetition-penalty", "1.2"),
    ]
    for way in ways:
        code, out, err = generate("--prompt", "The fox", *way)
        assert (code, err) == (0, ""), way
        assert "The fox" in out
    for way, allowed in (
        (("--json-schema", str(schema)), {'"red"', '"blue"'}),
        (("--grammar", str(grammar)), {"go", "stop"}),
        (("--regex", "[xy]{3}"), {a + b + c for a in "xy" for b in "xy" for c in "xy"}),
        (("--choice", "yes", "--choice", "no"), {"yes", "no"}),
    ):
        code, out, _ = generate("--prompt", "The fox", "--raw", *way)
        assert code == 0
        assert out in allowed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--regex", "a", "--choice", "b"), "bound in one way"),
        (("--json-schema", "none.json"), "none.json is missing"),
        (("--json-schema", '{"type": "bool'), "the schema is not JSON"),
        (("--regex", "(a"), "(got unclosed group)"),
        (("--bias", "x"), "a token's id and a number"),
        (("--beams", "3", "--beam-groups", "2"), "beam_groups must divide beams"),
        (("--input", "in.jsonl"), "come from --input and go to --out"),
        (("--kernels", "torch", "--weights", "int8"), "torch computes with"),
    ],
)
def test_options_that_cannot_be_are_explained(
    arguments: tuple[str, ...], told: str, generate: Any
) -> None:
    code, out, err = generate(*arguments)
    assert code in (1, 2)
    assert out == ""
    assert told in err


def test_the_command_answers_a_file(generate: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [*PROMPTS[:3], {"prompt": ""}])
    for _ in range(2):  # told again of a file that is complete
        code, out, err = generate("--input", str(source), "--out", str(tmp_path / "out.jsonl"))
        assert code == 1
        assert "answers to 4 lines, 1 of them with an error" in " ".join(out.split())
        assert "the first error is that of id 4: the prompt is empty" in err
        assert len(read(tmp_path / "out.jsonl")) == 4
    good = write(tmp_path / "good.jsonl", PROMPTS[:3])
    code, _, err = generate("--input", str(good), "--out", str(tmp_path / "good.out.jsonl"))
    assert code == 0
    assert "error" not in err


def test_a_schema_may_be_given_as_it_is(generate: Any, tmp_path: Path) -> None:
    schema = '{"type": "object", "properties": {}, "additionalProperties": false}'
    (tmp_path / "schema.json").write_text(schema)
    asked = ("--prompt", "The fox", "--raw")
    for given in (schema, str(tmp_path / "schema.json")):
        code, out, _ = generate(*asked, "--json-schema", given)
        assert code == 0
        assert out.lstrip().startswith("{")


def test_a_chat_can_be_loaded_and_explained(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io
    import sys

    path = tmp_path / "talk.json"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"Hi\n/why 2\n/retry\n/save {path}\n"))
    assert main(["chat", str(run.path), "--max-tokens", "4", "--system", "Be kind."]) == 0
    assert "%" in capsys.readouterr().out
    saved = json.loads(path.read_text())["messages"]
    assert [message["role"] for message in saved] == ["system", "user", "assistant"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("/system\n"))
    assert main(["chat", str(run.path), "--load", str(path)]) == 0
    assert "(system: Be kind.)" in capsys.readouterr().out
