"""One request per feature and client format: the smallest body in which the feature is asked for."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**SCHEMA, "additionalProperties": False}
FORMATS = ("openai-chat", "openai-responses", "anthropic", "gemini")


def chat(*messages: Body, **members: Any) -> Body:
    return {"model": "m", "messages": list(messages) or [{"role": "user", "content": "hi"}], **members}


def responses(*items: Body, **members: Any) -> Body:
    return {"model": "m", "input": list(items) or [{"role": "user", "content": "hi"}], **members}


def anthropic(*messages: Body, **members: Any) -> Body:
    own = {"model": "m", "max_tokens": 1000, "messages": list(messages) or [{"role": "user", "content": "hi"}]}
    return own | members


def gemini(*contents: Body, **members: Any) -> Body:
    return {"contents": list(contents) or [{"role": "user", "parts": [{"text": "hi"}]}], **members}


def user(*parts: Body) -> Body:
    return {"role": "user", "content": list(parts)}


def parts(*given: Body, role: str = "user") -> Body:
    return {"role": role, "parts": list(given)}


CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "description": "weather", "parameters": SCHEMA}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
ANTHROPIC_TOOL = {"name": "get_weather", "description": "weather", "input_schema": SCHEMA}
GEMINI_TOOL = {"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}
CHAT_CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
}
RESPONSES_CALL = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
ANTHROPIC_CALL = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}],
}
GEMINI_CALL = parts({"functionCall": {"id": "call_1", "name": "get_weather", "args": {}}}, role="model")


def chat_tools(*messages: Body, **members: Any) -> Body:
    return chat(*messages, tools=[CHAT_TOOL], **members)


def responses_tools(*items: Body, **members: Any) -> Body:
    return responses(*items, tools=[RESPONSES_TOOL], **members)


def anthropic_tools(*messages: Body, **members: Any) -> Body:
    return anthropic(*messages, tools=[ANTHROPIC_TOOL], **members)


def gemini_tools(*contents: Body, **members: Any) -> Body:
    return gemini(*contents, tools=[GEMINI_TOOL], **members)


def gemini_config(**config: Any) -> Body:
    return gemini(generationConfig=config)


def anthropic_result(**members: Any) -> Body:
    return user({"type": "tool_result", "tool_use_id": "call_1", **members})


def gemini_result(response: Body, **members: Any) -> Body:
    return parts({"functionResponse": {"id": "call_1", "name": "get_weather", "response": response, **members}})


def gemini_mode(mode: str, *names: str) -> Body:
    config: Body = {"mode": mode} | ({"allowedFunctionNames": list(names)} if names else {})
    return gemini_tools(toolConfig={"functionCallingConfig": config})


HI: Body = {"role": "user", "content": "hi"}
GEMINI_HI = parts({"text": "hi"})
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
EPHEMERAL = {"type": "ephemeral"}
FORMAT = {"name": "r", "schema": CLOSED, "strict": True}

#: Feature → client format → a request that uses it. A format that is missing has no such feature.
FEATURES: dict[str, dict[str, Body]] = {
    "System prompt": {
        "openai-chat": chat({"role": "system", "content": "Be brief."}, HI),
        "openai-responses": responses(HI, instructions="Be brief."),
        "anthropic": anthropic(system="Be brief."),
        "gemini": gemini(systemInstruction={"parts": [{"text": "Be brief."}]}),
    },
    "System message between others": {
        "openai-chat": chat(HI, {"role": "system", "content": "Now in French."}),
        "openai-responses": responses(HI, {"role": "developer", "content": "Now in French."}),
        "anthropic": anthropic(HI, {"role": "system", "content": "Now in French."}),
    },
    "Name of the speaker": {
        "openai-chat": chat({"role": "user", "content": "hi", "name": "ann"}),
    },
    "Image as base64": {
        "openai-chat": chat(user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})),
        "openai-responses": responses(user({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})),
        "anthropic": anthropic(user(IMAGE)),
        "gemini": gemini(parts({"inlineData": {"mimeType": "image/png", "data": PNG}})),
    },
    "Image by URL (fetched where it must be)": {
        "openai-chat": chat(user({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})),
        "openai-responses": responses(user({"type": "input_image", "image_url": "https://example.com/a.png"})),
        "anthropic": anthropic(user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})),
        "gemini": gemini(parts({"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}})),
    },
    "Image detail": {
        "openai-chat": chat(
            user({"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}})
        ),
        "openai-responses": responses(
            user({"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"})
        ),
    },
    "PDF": {
        "openai-chat": chat(
            user({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}})
        ),
        "openai-responses": responses(
            user({"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"})
        ),
        "anthropic": anthropic(
            user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}})
        ),
        "gemini": gemini(parts({"inlineData": {"mimeType": "application/pdf", "data": PDF}})),
    },
    "Plain-text document": {
        "anthropic": anthropic(
            user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}})
        ),
    },
    "Uploaded file by id": {
        "openai-chat": chat(user({"type": "file", "file": {"file_id": "file-1"}})),
        "openai-responses": responses(user({"type": "input_file", "file_id": "file-1"})),
        "anthropic": anthropic(user({"type": "document", "source": {"type": "file", "file_id": "file_1"}})),
    },
    "Audio input": {
        "openai-chat": chat(user({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})),
        "gemini": gemini(parts({"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}})),
    },
    "Function tool": {
        "openai-chat": chat_tools(),
        "openai-responses": responses_tools(),
        "anthropic": anthropic_tools(),
        "gemini": gemini_tools(),
    },
    "Strict tool": {
        "openai-chat": chat(
            tools=[{"type": "function", "function": {"name": "f", "parameters": CLOSED, "strict": True}}]
        ),
        "openai-responses": responses(tools=[{"type": "function", "name": "f", "parameters": CLOSED, "strict": True}]),
        "anthropic": anthropic(tools=[{"name": "f", "input_schema": CLOSED, "strict": True}]),
    },
    "Free-text tool": {
        "openai-chat": chat(tools=[{"type": "custom", "custom": {"name": "patch"}}]),
        "openai-responses": responses(tools=[{"type": "custom", "name": "patch"}]),
    },
    "Hosted web search": {
        "openai-chat": chat(web_search_options={}),
        "openai-responses": responses(tools=[{"type": "web_search"}]),
        "anthropic": anthropic(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        "gemini": gemini(tools=[{"googleSearch": {}}]),
    },
    "Domains to search in": {
        "openai-responses": responses(tools=[{"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}]),
        "anthropic": anthropic(
            tools=[{"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]}]
        ),
    },
    "Hosted code execution": {
        "openai-responses": responses(tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]),
        "anthropic": anthropic(tools=[{"type": "code_execution_20250825", "name": "code_execution"}]),
        "gemini": gemini(tools=[{"codeExecution": {}}]),
    },
    "Tool choice: none": {
        "openai-chat": chat_tools(tool_choice="none"),
        "openai-responses": responses_tools(tool_choice="none"),
        "anthropic": anthropic_tools(tool_choice={"type": "none"}),
        "gemini": gemini_mode("NONE"),
    },
    "Tool choice: any": {
        "openai-chat": chat_tools(tool_choice="required"),
        "openai-responses": responses_tools(tool_choice="required"),
        "anthropic": anthropic_tools(tool_choice={"type": "any"}),
        "gemini": gemini_mode("ANY"),
    },
    "Tool choice: this one": {
        "openai-chat": chat_tools(tool_choice={"type": "function", "function": {"name": "get_weather"}}),
        "openai-responses": responses_tools(tool_choice={"type": "function", "name": "get_weather"}),
        "anthropic": anthropic_tools(tool_choice={"type": "tool", "name": "get_weather"}),
        "gemini": gemini_mode("ANY", "get_weather"),
    },
    "Tool choice: one of these": {
        "openai-chat": chat_tools(
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "get_weather"}}],
                },
            }
        ),
        "openai-responses": responses_tools(
            tool_choice={
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "get_weather"}],
            }
        ),
        "gemini": gemini_mode("VALIDATED", "get_weather"),
    },
    "One tool at a time": {
        "openai-chat": chat_tools(parallel_tool_calls=False),
        "openai-responses": responses_tools(parallel_tool_calls=False),
        "anthropic": anthropic_tools(tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    },
    "Tool call and its result": {
        "openai-chat": chat_tools(HI, CHAT_CALL, {"role": "tool", "tool_call_id": "call_1", "content": "4C"}),
        "openai-responses": responses_tools(
            HI, RESPONSES_CALL, {"type": "function_call_output", "call_id": "call_1", "output": "4C"}
        ),
        "anthropic": anthropic_tools(HI, ANTHROPIC_CALL, anthropic_result(content="4C")),
        "gemini": gemini_tools(GEMINI_HI, GEMINI_CALL, gemini_result({"output": "4C"})),
    },
    "Tool result that is an error": {
        "anthropic": anthropic_tools(HI, ANTHROPIC_CALL, anthropic_result(content="no such city", is_error=True)),
        "gemini": gemini_tools(GEMINI_HI, GEMINI_CALL, gemini_result({"error": "no such city"})),
    },
    "Tool result with an image": {
        "openai-responses": responses_tools(
            HI,
            RESPONSES_CALL,
            {
                "type": "function_call_output",
                "call_id": "call_1",
                "output": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}],
            },
        ),
        "anthropic": anthropic_tools(HI, ANTHROPIC_CALL, anthropic_result(content=[IMAGE])),
        "gemini": gemini_tools(
            GEMINI_HI,
            GEMINI_CALL,
            gemini_result({"output": "map"}, parts=[{"inlineData": {"mimeType": "image/png", "data": PNG}}]),
        ),
    },
    "Tool call without a result": {
        "openai-chat": chat_tools(HI, CHAT_CALL, HI),
        "openai-responses": responses_tools(HI, RESPONSES_CALL, HI),
        "anthropic": anthropic_tools(HI, ANTHROPIC_CALL, HI),
        "gemini": gemini_tools(GEMINI_HI, GEMINI_CALL, GEMINI_HI),
    },
    "Reasoning effort": {
        "openai-chat": chat(reasoning_effort="high"),
        "openai-responses": responses(reasoning={"effort": "high"}),
        "anthropic": anthropic(thinking={"type": "adaptive"}, output_config={"effort": "high"}, max_tokens=64000),
        "gemini": gemini_config(thinkingConfig={"includeThoughts": True, "thinkingBudget": 24576}),
    },
    "Reasoning of earlier turns": {
        "openai-chat": chat(HI, {"role": "assistant", "content": "a", "reasoning_content": "plan"}, HI),
        "openai-responses": responses(
            HI,
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
            {"role": "assistant", "content": "a"},
            HI,
        ),
        "anthropic": anthropic(
            HI,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "plan", "signature": "c2ln"},
                    {"type": "text", "text": "a"},
                ],
            },
            HI,
        ),
        "gemini": gemini(GEMINI_HI, parts({"text": "a", "thoughtSignature": "c2ln"}, role="model"), GEMINI_HI),
    },
    "Output limit": {
        "openai-chat": chat(max_completion_tokens=500),
        "openai-responses": responses(max_output_tokens=500),
        "anthropic": anthropic(max_tokens=500),
        "gemini": gemini_config(maxOutputTokens=500),
    },
    "temperature 0.5": {
        "openai-chat": chat(temperature=0.5),
        "openai-responses": responses(temperature=0.5),
        "anthropic": anthropic(temperature=0.5),
        "gemini": gemini_config(temperature=0.5),
    },
    "temperature 1.5": {
        "openai-chat": chat(temperature=1.5),
        "openai-responses": responses(temperature=1.5),
        "gemini": gemini_config(temperature=1.5),
    },
    "top_p": {
        "openai-chat": chat(top_p=0.5),
        "openai-responses": responses(top_p=0.5),
        "anthropic": anthropic(top_p=0.5),
        "gemini": gemini_config(topP=0.5),
    },
    "top_k": {
        "anthropic": anthropic(top_k=40),
        "gemini": gemini_config(topK=40),
    },
    "Stop sequences": {
        "openai-chat": chat(stop=["END"]),
        "anthropic": anthropic(stop_sequences=["END"]),
        "gemini": gemini_config(stopSequences=["END"]),
    },
    "seed": {
        "openai-chat": chat(seed=7),
        "gemini": gemini_config(seed=7),
    },
    "Presence and frequency penalty": {
        "openai-chat": chat(presence_penalty=0.5, frequency_penalty=0.5),
        "gemini": gemini_config(presencePenalty=0.5, frequencyPenalty=0.5),
    },
    "logit_bias": {"openai-chat": chat(logit_bias={"5": 1})},
    "Several answers": {
        "openai-chat": chat(n=2),
        "gemini": gemini_config(candidateCount=2),
    },
    "Log probabilities": {
        "openai-chat": chat(logprobs=True, top_logprobs=2),
        "openai-responses": responses(top_logprobs=2, include=["message.output_text.logprobs"]),
        "gemini": gemini_config(responseLogprobs=True, logprobs=2),
    },
    "JSON by schema": {
        "openai-chat": chat(response_format={"type": "json_schema", "json_schema": FORMAT}),
        "openai-responses": responses(text={"format": {"type": "json_schema", **FORMAT}}),
        "anthropic": anthropic(output_config={"format": {"type": "json_schema", "schema": CLOSED}}),
        "gemini": gemini_config(responseMimeType="application/json", responseJsonSchema=CLOSED),
    },
    "Any JSON object": {
        "openai-chat": chat(response_format={"type": "json_object"}),
        "openai-responses": responses(text={"format": {"type": "json_object"}}),
        "gemini": gemini_config(responseMimeType="application/json"),
    },
    "Verbosity": {
        "openai-chat": chat(verbosity="low"),
        "openai-responses": responses(text={"verbosity": "low"}),
    },
    "End user": {
        "openai-chat": chat(user="u-1"),
        "openai-responses": responses(user="u-1"),
        "anthropic": anthropic(metadata={"user_id": "u-1"}),
    },
    "Metadata": {
        "openai-chat": chat(metadata={"team": "a"}),
        "openai-responses": responses(metadata={"team": "a"}),
    },
    "Service tier": {
        "openai-chat": chat(service_tier="priority"),
        "openai-responses": responses(service_tier="priority"),
        "anthropic": anthropic(service_tier="auto"),
    },
    "Cache breakpoints": {
        "anthropic": anthropic(user({"type": "text", "text": "long", "cache_control": EPHEMERAL})),
    },
    "Answer begun by the client": {
        "openai-chat": chat(HI, {"role": "assistant", "content": "The answer is"}),
        "openai-responses": responses(HI, {"role": "assistant", "content": "The answer is"}),
        "anthropic": anthropic(HI, {"role": "assistant", "content": "The answer is"}),
        "gemini": gemini(GEMINI_HI, parts({"text": "The answer is"}, role="model")),
    },
    "State kept upstream": {
        "openai-responses": responses(previous_response_id="resp_1"),
    },
    "Context management": {
        "openai-responses": responses(context_management=[{"type": "compaction", "compact_threshold": 9000}]),
        "anthropic": anthropic(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}),
    },
    "Safety settings": {
        "gemini": gemini(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
    },
}
