"""A small answer in Anthropic's format, whole and as events."""

import json

USAGE = {"input_tokens": 3, "output_tokens": 2}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": USAGE,
}
START = {"type": "message_start", "message": ANSWER | {"content": [], "stop_reason": None}}
TEXT = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
]
END = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
EVENTS = [START, *TEXT, *END]


def frames(*events):
    """Return events as they come over the wire."""
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
