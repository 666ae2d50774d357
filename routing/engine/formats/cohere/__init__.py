"""Cohere's chat API, version 2, https://docs.cohere.com/reference/chat: spoken to upstreams only."""
