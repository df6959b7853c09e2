"""How much the server takes, and how long it waits. Limits hold before anything is allocated."""

from __future__ import annotations

from pydantic import Field, model_validator

from homespun.core import Config, ConfigError


class ServerConfig(Config):
    """Limits of the server.

    Attributes:
        most_body_bytes: of a request.
        most_held_bytes: of the bodies of all requests under way.
        most_header_bytes: of a request's line and headers.
        deepest_json: lists and objects within each other.
        most_objects: objects and lists of a body: messages, their parts, tools and all within
            them; and entries of one object.
        most_messages: of a conversation.
        most_answers: `n` and `best_of`, and prompts times `n`.
        most_stops: stop strings; `longest_stop` characters each.
        most_biases: entries of `logit_bias`.
        most_tools: of a request.
        most_inputs: prompts of one request, or texts to moderate.
        most_texts: of one embeddings request; OpenAI's own number.
        most_waiting: requests that have begun or wait, of one model: of short ones, some seconds of
            work, so that nobody is refused where a machine slows down for a moment. Longer ones are
            bounded by `queue_windows`.
        most_of_a_key: requests of one key under way, so that nobody takes all places; where there
            are no keys there is no such limit.
        queue_windows: tokens that may be asked for at once, in caches full. A request counts with
            its prompt and the longest answer it allows, of that `expected_answer` tokens at most.
        most_connections: open at once, also those that have not agreed on TLS yet; one more is
            refused. Systems often allow 1024 open files.
        handshake_seconds: in which a new connection must have agreed on TLS, for https.
        header_seconds, body_seconds: in which headers and body must have arrived.
        write_seconds: in which a reader must take what was sent.
        keep_alive_seconds: that a connection may be idle between requests.
        drain_seconds: that running answers have when the server is told to stop.
        retry_seconds: what `Retry-After` says.
        heartbeat_seconds: between comments in a stream that has nothing to tell; 0 for none.
        most_restarts: how often the process that computes is begun again within
            `restart_window_seconds`, where it ends or an engine in it fails; 0 for never. When
            that time is over, a process that has ended is begun again.
        restart_window_seconds: see `most_restarts`.
        restart_pause_seconds: before each, at most a tenth of `restart_window_seconds`.
    """

    most_body_bytes: int = Field(4_194_304, ge=1024)
    most_held_bytes: int = Field(1 << 28, ge=1024)
    most_header_bytes: int = Field(16_384, ge=1024)
    deepest_json: int = Field(32, ge=4, le=256)
    most_objects: int = Field(8192, ge=64)
    most_messages: int = Field(256, ge=1)
    most_answers: int = Field(8, ge=1)
    most_stops: int = Field(8, ge=0)
    longest_stop: int = Field(64, ge=1)
    most_biases: int = Field(300, ge=0)
    most_tools: int = Field(64, ge=0)
    most_inputs: int = Field(64, ge=1)
    most_texts: int = Field(2048, ge=1)
    most_waiting: int = Field(512, ge=1)
    most_of_a_key: int = Field(384, ge=1)
    expected_answer: int = Field(1024, ge=1)
    queue_windows: float = Field(4.0, gt=0)
    most_connections: int = Field(800, ge=1)
    handshake_seconds: float = Field(10.0, gt=0)
    header_seconds: float = Field(10.0, gt=0)
    body_seconds: float = Field(30.0, gt=0)
    write_seconds: float = Field(30.0, gt=0)
    keep_alive_seconds: int = Field(15, ge=1)
    drain_seconds: float = Field(30.0, ge=0)
    retry_seconds: int = Field(2, ge=1)
    heartbeat_seconds: float = Field(15.0, ge=0)
    most_restarts: int = Field(3, ge=0, le=1000)
    restart_window_seconds: float = Field(600.0, gt=0, le=86_400 * 7)
    restart_pause_seconds: float = Field(0.25, ge=0)

    @model_validator(mode="after")
    def _pauses_are_short(self) -> ServerConfig:
        most = self.restart_window_seconds / 10
        if self.restart_pause_seconds > most:
            raise ConfigError(
                f"restart_pause_seconds is at most {most:g}, a tenth of restart_window_seconds",
                got=self.restart_pause_seconds,
                remedy="make the pause shorter or the window longer",
            )
        return self
