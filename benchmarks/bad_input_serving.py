"""What can be wrong with `homespun serve`; see `bad_input_cases`."""

from __future__ import annotations

import socket

from bad_input_stage import Place, case, plain

plain("serving what is no run", "serve nowhere", "nowhere", code=1)
plain("serving where there are no runs", "serve", "no trained model", code=1)
plain("a port that is none", "serve --port 70000", "port")
plain("serving everybody without a key", "serve --host 0.0.0.0", "no key")
plain("a file of keys that is not there", "serve --keys nowhere.json", "nowhere.json", code=1)
plain("a new key and no file for it", "serve --new-key me", "--keys")
plain("two models of one name", "serve a=tiny a=tiny", "'a'", run=True)
plain("a certificate without its key", "serve --tls-certificate own.pem", "--tls-key")
plain("a certificate that is not there", "serve --tls-certificate a.pem --tls-key b.pem", "a.pem")
plain("an address to listen at that is none", "serve tiny --host nowhere.invalid", "no key")


@case("serving a model that was not imported", "import", code=1)
def _(place: Place) -> list[str]:
    place.write("model/config.json", "{}")
    return ["serve", "model"]


@case("a limit of the server with a slip", "most_bodie_bytes", "most_body_bytes", code=2)
def _(place: Place) -> list[str]:
    place.write("limits.json", '{"most_bodie_bytes": 5}')
    return ["serve", "--settings", "limits.json"]


@case("a file of keys with something else in it", "keys.json", code=2)
def _(place: Place) -> list[str]:
    place.write("keys.json", '{"keys": {"me": "plain text"}}')
    return ["serve", "--keys", "keys.json"]


@case("a port that is taken", "cannot listen", "--port", code=1)
def _(place: Place) -> list[str]:
    place.run()
    taken = place.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return ["serve", "tiny", "--port", str(taken.getsockname()[1])]


@case("a certificate that is none", "own.pem is no certificate", code=2)
def _(place: Place) -> list[str]:
    place.write("own.pem", "-----BEGIN NOTHING-----\n")
    return ["serve", "--tls-certificate", "own.pem", "--tls-key", "own.pem"]
