"""The tests of OpenAI's own Python client, against our server instead of its mock.

    pip install pytest-asyncio
    python benchmarks/serve_openai_suite.py path/to/openai-python

Its requests "with all params" hold fields that no server of text has, and values such as
`max_tokens: 0`: those are refused here with their name, and count as expected where they are.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import subprocess
import sys
from pathlib import Path

from serve_stage import served

FILES = (
    "tests/api_resources/test_models.py",
    "tests/api_resources/test_completions.py",
    "tests/api_resources/test_embeddings.py",
    "tests/api_resources/test_moderations.py",
    "tests/api_resources/test_responses.py",
    "tests/api_resources/chat/test_completions.py",
)
# Kept answers and fine-tuned models are not there.
ABSENT = "not retrieve and not update and not list and not delete and not cancel and not compact"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--run", type=Path, help="a run to serve; a tiny one is made without")
    wish = parser.parse_args()
    with served(wish.run, options=("--any-model",)) as server:
        environment = {
            **os.environ,
            "TEST_API_BASE_URL": f"http://127.0.0.1:{server.port}/v1",
            "NO_PROXY": "127.0.0.1",
        }
        options = ["-o", "addopts=", "-o", "asyncio_mode=auto", "-q", "--tb=line"]
        command = [sys.executable, "-m", "pytest", *options, *FILES]
        done = subprocess.run(
            [*command, "-k", f"({ABSENT})"],
            cwd=wish.checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    refused = re.findall(r"BadRequestError: Error code: 400 - (.*)", done.stdout)
    in_base64 = re.findall(r"embedding\n.*valid list.*input_type=str", done.stdout)
    print(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
    print(f"{len(failed)} failed: {len(refused)} for a field that is refused, which were")
    for reason, count in collections.Counter(refused).most_common():
        print(f"  {count:4d} {reason}")
    print(f"and {len(in_base64)} where the client asked for base64 and then takes none")
    return 0 if done.stdout and len(failed) == len(refused) + len(in_base64) else 1


if __name__ == "__main__":
    raise SystemExit(main())
