"""`homespun serve`: by which names it may be called."""

from __future__ import annotations

import pytest

from homespun.cli.commands.serve.places import host_names
from homespun.core import ConfigError
from homespun.serving import LOOPBACK


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("Models.example", "Models.example"),
        ("my_box", "my_box"),
        ("10.0.0.7", "10.0.0.7"),
        ("fd00::7", "[fd00::7]"),
        ("[fd00:0::7]", "[fd00::7]"),
        ("模型.example", "xn--xgs754b.example"),
    ],
)
def test_names_are_those_that_browsers_send(given: str, asked: str) -> None:
    assert host_names("0.0.0.0", [given]) == [*LOOPBACK, asked]
    assert host_names(given, []) == [*LOOPBACK, asked]


@pytest.mark.parametrize(
    "given", ["models.example:8000", "https://models.example", "models.example/", "a b", "", "..a"]
)
def test_what_no_request_can_name_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="no scheme, port or path"):
        host_names("127.0.0.1", [given])
