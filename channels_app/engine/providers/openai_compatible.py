"""Any server that speaks OpenAI's formats: vLLM, Ollama, LM Studio and many hosted ones."""

from channels_app.engine.profiles import COMPATIBLE_CHAT, GPT_RESPONSES
from channels_app.engine.provider import Provider


class OpenAICompatible(Provider):
    """A base URL, `/v1` included where the server has it, that answers OpenAI's paths."""

    name = "openai-compatible"
    label = "OpenAI-compatible"
    # What calls itself so is taken at its word: its bytes pass like the inventor's.
    is_genuine = True
    capabilities = {"openai-chat": COMPATIBLE_CHAT, "openai-responses": GPT_RESPONSES}
    needs_credential = False
    endpoints = {
        "openai-chat": "/chat/completions",
        "openai-responses": "/responses",
        "openai-embeddings": "/embeddings",
        "openai-completions": "/completions",
        "openai-moderations": "/moderations",
        "openai-images": "/images/generations",
        "openai-speech": "/audio/speech",
        "openai-transcription": "/audio/transcriptions",
        "jina-rerank": "/rerank",
    }
    forwarded_headers = frozenset(
        {"idempotency-key", "openai-beta", "x-client-request-id", "session-id", "session_id", "thread-id"}
    )
