"""A model from elsewhere, ready to write, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from homespun.recipes.imports.bring import import_model
from homespun.recipes.imports.places import is_on_hub

if TYPE_CHECKING:
    from homespun.recipes.run import Run


def load(source: Path | str, **settings: Any) -> Run:
    """Open a run, or take in a model in Hugging Face's form and open that.

        run = homespun.load("gpt2/")
        print(run.generate("Once upon a time").text)

    A model is taken in once and kept in the cache folder; a folder whose files changed is taken in
    again.

    Args:
        source: folder of a run; folder of a GPT-2, Llama, Mistral, Qwen2 or Qwen3 model; or
            "hub:OWNER/NAME".
        settings: of `open_run`.

    Raises:
        As `open_run` and `import_model`.
    """
    from homespun.corpus.registry.fetching import cache_folder
    from homespun.recipes.run import open_run

    name = str(source)
    if not is_on_hub(name) and (Path(source) / "run.json").is_file():
        return open_run(source, **settings)
    path = cache_folder() / "imported" / _mark(name)
    import_model(name, path)
    return open_run(path, **settings)


def _mark(source: str) -> str:
    """A name of the folder: another one where files were changed since."""
    facts = [source]
    folder = Path(source)
    if not is_on_hub(source) and folder.is_dir():
        facts = [str(folder.resolve())]
        for path in sorted(folder.iterdir()):
            if path.is_file():
                facts.append(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}")
    digest = xxhash.xxh3_64_hexdigest("\n".join(facts).encode())
    return f"{folder.name or 'model'}-{digest}"
