"""OpenAI's requests and answers, field by field.

fields       what several requests share; nothing unknown gets through
messages     conversations
prompts      from texts to ids, refused where they do not fit
rewriting    what models that write one text from another take
asking       from a request to its answers, and to their end when the client is gone
sse          events of a stream
logprobs     in both shapes
chat         /v1/chat/completions
calling      tools, calls of them, thoughts
completions  /v1/completions
responses, outputs  /v1/responses, and what answers them
embeddings, moderations  /v1/embeddings, /v1/moderations
listing      /v1/models, /tokenize, /health, /ready, /metrics
"""

from fastapi import APIRouter

from homespun.serving.openai import (
    chat,
    completions,
    embeddings,
    listing,
    moderations,
    responses,
)

__all__ = ["routers"]


def routers() -> list[APIRouter]:
    """All routes but those of the page."""
    rooms = (chat, completions, responses, embeddings, moderations, listing)
    return [room.build_router() for room in rooms]
