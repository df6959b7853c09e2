"""What a response holds, what was thought and the message, and the events by which it grows."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from homespun.core import Completion, HomespunError, TokenLogprob
from homespun.serving.engine import ServedModel
from homespun.serving.errors import api_error
from homespun.serving.openai.asking import Asking, Piece, usage
from homespun.serving.openai.calling.thoughts import ThoughtReader
from homespun.serving.openai.logprobs import response_logprobs
from homespun.serving.openai.sse import HEARTBEAT, written_event


class Outputs:
    """One response. Its thoughts are an item of their own before the message, if it has any.

    Args:
        served: the model.
        asking: gives the answer.
        reader: tells its thoughts apart.
        asked: what the response repeats of its request.
        tells_logprobs: of the message's tokens.
        is_padded: events of text hide how long it is.
    """

    def __init__(
        self,
        served: ServedModel,
        asking: Asking,
        reader: ThoughtReader,
        asked: Mapping[str, Any],
        *,
        tells_logprobs: bool,
        is_padded: bool,
    ) -> None:
        self._served = served
        self._asking = asking
        self._reader = reader
        self._asked = asked
        self._tells_logprobs = tells_logprobs
        self._is_padded = is_padded
        self._id = f"resp_{secrets.token_hex(16)}"
        self._thought_id = f"rs_{secrets.token_hex(16)}"
        self._message_id = f"msg_{secrets.token_hex(16)}"
        self._created = int(time.time())
        self._number = 0
        self._thought = self._text = ""
        self._has_message = False
        self._token_ids: tuple[int, ...] = ()
        self._held: tuple[TokenLogprob, ...] = ()

    def whole(self, done: Completion) -> dict[str, Any]:
        """The response to an answer that was not read in pieces."""
        self._thought, self._text = self._reader.read(done.text, is_last=True)
        self._has_message = self._reader.is_sure
        return self._ended(done)

    async def events(self, heartbeat: float) -> AsyncIterator[bytes]:
        """All events, as the answer comes.

        Args:
            heartbeat: seconds after which something is sent even though nothing came.
        """
        started = self._response("in_progress")
        data = await self._event("response.created", response=started)
        data += await self._event("response.in_progress", response=started)
        yield data + (await self._begin_message() if self._reader.is_sure else b"")
        done: Completion | None = None
        try:
            async for pieces in self._asking.pieces(heartbeat=heartbeat):
                data = b"" if pieces else HEARTBEAT
                for piece in pieces:
                    data += await self._grow(piece)
                    done = piece.completion or done
                if data:
                    yield data
        except HomespunError as error:
            told = api_error(error).body["error"]
            failed = {"code": "server_error", "message": told["message"]}
            yield await self._event(
                "response.failed", response=self._response("failed", error=failed)
            )
            return
        assert done is not None
        if self._has_message:
            yield await self._end_message(done)
        elif self._thought:
            yield await self._end_thought(_status(done))
        yield await self._event(f"response.{_status(done)}", response=self._ended(done))

    async def _grow(self, piece: Piece) -> bytes:
        thought, text = self._reader.read(piece.text, is_last=piece.completion is not None)
        self._token_ids += piece.token_ids
        self._held += piece.logprobs
        data = b""
        if thought:
            if not self._thought:
                data += await self._begin_thought()
            self._thought += thought
            data += await self._of_thought("response.reasoning_text.delta", delta=thought)
        if not self._reader.is_sure:
            return data
        if not self._has_message:
            if self._thought:
                data += await self._end_thought("completed")
            data += await self._begin_message()
            self._held = self._held[self._num_thoughts(self._token_ids) :]
        logprobs, self._held = self._held, ()
        if text or (logprobs and self._tells_logprobs):
            self._text += text
            told_logprobs = self._logprobs(logprobs)
            name = "response.output_text.delta"
            data += await self._of_message(name, delta=text, logprobs=told_logprobs)
        return data

    async def _begin_thought(self) -> bytes:
        item = self._thought_item("in_progress", [])
        data = await self._event("response.output_item.added", output_index=0, item=item)
        return data + await self._of_thought("response.content_part.added", part=_thought_part(""))

    async def _end_thought(self, status: str) -> bytes:
        text = self._thought
        data = await self._of_thought("response.reasoning_text.done", text=text)
        data += await self._of_thought("response.content_part.done", part=_thought_part(text))
        item = self._thought_item(status, [_thought_part(text)])
        return data + await self._event("response.output_item.done", output_index=0, item=item)

    async def _begin_message(self) -> bytes:
        self._has_message = True
        place = {"output_index": self._message_index}
        item = self._message_item("in_progress", [])
        data = await self._event("response.output_item.added", **place, item=item)
        return data + await self._of_message("response.content_part.added", part=self._part(()))

    async def _end_message(self, done: Completion) -> bytes:
        part = self._part(self._of_text(done))
        told = {"text": self._text, "logprobs": part["logprobs"]}
        data = await self._of_message("response.output_text.done", **told)
        data += await self._of_message("response.content_part.done", part=part)
        place = {"output_index": self._message_index}
        item = self._message_item(_status(done), [part])
        return data + await self._event("response.output_item.done", **place, item=item)

    async def _of_thought(self, name: str, **more: Any) -> bytes:
        place = {"item_id": self._thought_id, "output_index": 0, "content_index": 0}
        return await self._event(name, **place, **more)

    async def _of_message(self, name: str, **more: Any) -> bytes:
        place = {"item_id": self._message_id, "output_index": self._message_index}
        return await self._event(name, **place, content_index=0, **more)

    async def _event(self, name: str, **more: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        value = {"type": name, "sequence_number": number, **more}
        is_padded = self._is_padded and name.endswith(".delta")
        return await written_event(value, name=name, padded=is_padded)

    @property
    def _message_index(self) -> int:
        return 1 if self._thought else 0

    def _thought_item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._thought_id,
            "type": "reasoning",
            "status": status,
            "summary": [],
            "content": content,
        }

    def _message_item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _part(self, found: Sequence[TokenLogprob]) -> dict[str, Any]:
        told = self._logprobs(found)
        return {"type": "output_text", "text": self._text, "annotations": [], "logprobs": told}

    def _logprobs(self, found: Sequence[TokenLogprob]) -> Any:
        """As chat answers have them, where they are asked for."""
        return response_logprobs(self._served, found) if self._tells_logprobs else []

    def _num_thoughts(self, token_ids: Sequence[int]) -> int:
        return self._reader.num_tokens(self._served.tokenizer, token_ids)

    def _of_text(self, done: Completion) -> Sequence[TokenLogprob]:
        return () if done.logprobs is None else done.logprobs[self._num_thoughts(done.token_ids) :]

    def _ended(self, done: Completion) -> dict[str, Any]:
        status = _status(done)
        output = []
        if self._thought:
            ended = "completed" if self._has_message else status
            output.append(self._thought_item(ended, [_thought_part(self._thought)]))
        if self._has_message:
            output.append(self._message_item(status, [self._part(self._of_text(done))]))
        return self._response(status, output=output, usage=self._usage(done))

    def _response(
        self, status: str, *, output: Sequence[Any] = (), error: Any = None, **more: Any
    ) -> dict[str, Any]:
        is_cut = status == "incomplete"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "model": self._served.name,
            "output": list(output),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "tools": [],
            "truncation": "disabled",
            **self._asked,
            **more,
        }

    def _usage(self, done: Completion) -> dict[str, Any]:
        counted = usage(self._asking.num_prompt_tokens, [done])
        thought = self._num_thoughts(done.token_ids)
        return {
            "input_tokens": counted["prompt_tokens"],
            "input_tokens_details": {**counted["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": counted["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": thought},
            "total_tokens": counted["total_tokens"],
        }


def _status(done: Completion) -> str:
    return "incomplete" if done.finish_reason == "length" else "completed"


def _thought_part(text: str) -> dict[str, Any]:
    return {"type": "reasoning_text", "text": text}
