"""schemathesis against our own description of the API: no 5xx, no hang, no answer out of shape.

    pip install schemathesis && python benchmarks/serve_fuzz.py --cases 10000

schemathesis is no dependency: it is wanted for this alone. Answers are short, or it would not end.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from serve_stage import run_argument, served

ROUTES = 10


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--cases", type=int, default=10_000)
    wish = parser.parse_args()
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if command is None:
        print("install it first: pip install schemathesis")
        return 2
    with served(wish.run, options=wish.serve) as server, tempfile.TemporaryDirectory() as scratch:
        url = f"http://127.0.0.1:{server.port}"
        words = [f"{url}/openapi.json", "--url", url, "--request-timeout", "30"]
        checks = "not_a_server_error,status_code_conformance,content_type_conformance"
        checks += ",response_schema_conformance,unsupported_method"
        limits = ["-n", str(max(1, wish.cases // ROUTES)), "--checks", checks]
        done = subprocess.run([command, "run", *words, *limits], cwd=scratch, check=False)
        if server.process.poll() is not None:
            print("the server ended")
            return 1
        return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
