"""What stands between the network and the routes.

door      a refusal under overload, before anything is parsed
guard     who may ask, from where, and how much: hosts, keys, bodies
body      bytes to JSON, within limits
protocol  deadlines for those who send slowly and those who read slowly
tls       certificate and key
listening where to listen; for https connections count, and have seconds, before TLS is agreed on
written   long answers in pieces, so that other streams have their turn
"""

from homespun.serving.http.door import with_door
from homespun.serving.http.guard import Caller, Guard
from homespun.serving.http.listening import SecureListener, check_free, open_sockets
from homespun.serving.http.protocol import DeadlineProtocol, deadline_protocol
from homespun.serving.http.tls import TlsFiles, tls_files

__all__ = [
    "Caller",
    "DeadlineProtocol",
    "Guard",
    "SecureListener",
    "TlsFiles",
    "check_free",
    "deadline_protocol",
    "open_sockets",
    "tls_files",
    "with_door",
]
