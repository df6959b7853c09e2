"""Named corpora are described well, found where they are, and downloaded safely."""

from __future__ import annotations

import hashlib
import io
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homespun.core import SPLITS, DataError
from homespun.corpus import build_corpus, iter_documents, locate, named_corpora
from homespun.corpus.registry import CorpusEntry, RemoteFile, download, entries, fetching

CONTENT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。\n".encode() * 40


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing.txt":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/truncated.txt":
            self.wfile.write(CONTENT[:100])
        elif self.path == "/wrong.txt":
            self.wfile.write(CONTENT[::-1])
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HOMESPUN_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def _register(monkeypatch: pytest.MonkeyPatch, url: str, local: tuple[str, ...] = ()) -> None:
    file = RemoteFile("poem.txt", url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    entry = CorpusEntry(
        name="poem",
        title="A poem",
        language="zh",
        licence="public domain",
        page="http://example.org",
        num_bytes=len(CONTENT),
        local=local,
        files=(file,),
    )
    monkeypatch.setattr(entries, "named_corpora", lambda: [entry])


def test_folders_may_be_given_below_one_s_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_CACHE", "~/cache")
    monkeypatch.setenv("HOMESPUN_DATA", "~/data")
    assert fetching.cache_folder() == Path.home() / "cache"
    assert fetching.data_folder() == Path.home() / "data"


def test_every_entry_is_complete() -> None:
    found = {entry.name: entry for entry in named_corpora()}
    assert {
        *("python", "python-code", "tinystories", "wikitext-2", "tiny-shakespeare"),
        *("chinese-poetry", "zh-novels", "zh-luxun", "gutenberg-classics", "tatoeba-cmn-eng"),
    } <= set(found)
    for entry in found.values():
        assert entry.title
        assert entry.licence
        assert entry.page.startswith("https://")
        assert entry.embedded or (entry.files and entry.local)
        assert entry.embedded or entry.num_bytes == sum(file.size for file in entry.files)
        for file in entry.files:
            assert file.url.startswith("https://raw.githubusercontent.com/")
            assert len(file.url.split("/")[5]) == 40  # a full commit: the content cannot change
            assert len(file.sha256) == 64
            assert not Path(file.path).is_absolute()
            assert ".." not in Path(file.path).parts


def test_a_download_is_checked_and_kept(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, f"{server}/poem.txt")
    path = locate("poem")
    assert path == cache / "poem" / "poem.txt"
    assert path.read_bytes() == CONTENT
    _register(monkeypatch, f"{server}/missing.txt")
    assert locate("poem") == path
    assert download("poem") == cache / "poem"


@pytest.mark.parametrize(
    ("page", "what"),
    [
        ("missing", "HTTP 404"),
        ("wrong", "sha256 [0-9a-f]{64}"),
        ("truncated", "cannot be reached|not the file that was expected"),
    ],
)
def test_a_bad_download_leaves_nothing_and_says_what_to_do(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch, page: str, what: str
) -> None:
    _register(monkeypatch, f"{server}/{page}.txt")
    with pytest.raises(DataError, match=what) as error:
        locate("poem")
    message = str(error.value)
    assert f"{server}/{page}.txt" in message
    assert str(cache / "poem" / "poem.txt") in message
    assert "HOMESPUN_DATA" in message
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_without_a_network_the_message_names_address_place_and_variable(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, "http://127.0.0.1:9/poem.txt")
    with pytest.raises(DataError, match="cannot be reached") as error:
        locate("poem")
    assert "http://127.0.0.1:9/poem.txt" in str(error.value)
    assert str(cache / "poem" / "poem.txt") in str(error.value)


def test_only_http_is_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, "file:///etc/passwd")
    with pytest.raises(DataError, match="only http"):
        locate("poem")


def test_a_file_put_into_the_cache_by_hand_is_found(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, "http://127.0.0.1:9/poem.txt")
    (cache / "poem").mkdir(parents=True)
    (cache / "poem" / "poem.txt").write_bytes(CONTENT)
    assert locate("poem") == cache / "poem" / "poem.txt"


def test_the_data_folder_goes_before_the_cache_and_gives_the_same_documents(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, "http://127.0.0.1:9/poem.txt", local=("sets/other-name.txt",))
    text = "\n\n".join(f"第{number}段，" + "说些不同的话" + str(number) for number in range(400))
    for path in (cache / "poem" / "poem.txt", tmp_path / "data" / "sets" / "other-name.txt"):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.setattr(fetching, "_has_size", lambda path, file: path.exists())
    build_corpus("poem", tmp_path / "a")
    monkeypatch.setenv("HOMESPUN_DATA", str(tmp_path / "data"))
    assert locate("poem") == tmp_path / "data" / "sets" / "other-name.txt"
    build_corpus("poem", tmp_path / "b")
    for split in SPLITS:
        assert list(iter_documents(tmp_path / "a", split)) == list(
            iter_documents(tmp_path / "b", split)
        )


def test_embedded_and_unknown_corpora_have_no_file(cache: Path) -> None:
    with pytest.raises(DataError, match="read from the Python installation"):
        locate("python")
    with pytest.raises(DataError, match="did you mean 'zh-novels'"):
        locate("zh-novel")


def test_listing_corpora_loads_no_array_or_table_library() -> None:
    code = (
        "import sys; from homespun.corpus import named_corpora; named_corpora(); "
        "print([m for m in ('numpy', 'pyarrow', 'torch', 'zstandard') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), ssl.SSLError("bad")])
def test_a_connection_that_breaks_while_reading_is_told_with_address_and_place(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

    _register(monkeypatch, "http://example.org/poem.txt")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Broken())
    with pytest.raises(DataError, match="cannot be reached") as told:
        locate("poem")
    assert "http://example.org/poem.txt" in str(told.value)
    assert str(cache / "poem" / "poem.txt") in str(told.value)
