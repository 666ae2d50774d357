"""TRANSFORMERS: one line per transformer, and chains of them as channels name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from reprlib import repr as shortened
from typing import Any

import msgspec

from channels_app.engine.registry import Registry
from routing.engine.transformer import Chain, Step, Transformer

TRANSFORMERS: Registry[Transformer] = Registry(
    "routex.transformers",
    __name__,
    {
        "anthropic": ".anthropic:Anthropic",
        "cleancache": ".cleancache:CleanCache",
        "customparams": ".customparams:CustomParams",
        "deepseek": ".deepseek:DeepSeek",
        "enhancetool": ".enhancetool:EnhanceTool",
        "gemini": ".gemini:Gemini",
        "maxtoken": ".maxtoken:MaxToken",
        "openai": ".openai:OpenAI",
        "openrouter": ".openrouter:OpenRouter",
        "reasoning": ".reasoning:Reasoning",
        "sampling": ".sampling:Sampling",
        "streamoptions": ".streamoptions:StreamOptions",
        "tooluse": ".tooluse:ToolUse",
    },
)

#: A transformer as a channel names it: its name, or {name: options}. The option `models` is a list of globs.
Entry = str | Mapping[str, Any]


def chain_of(entries: Iterable[Entry], model: str | None = None) -> Chain:
    """Return the chain of a channel's entries that are meant for a model, all of them without one.

    Raises:
        ValueError: an entry names no transformer, or options that it does not take; the text says which and why.
    """
    return Chain(step for entry in entries if (step := _step(entry, model)) is not None)


def _step(entry: Entry, model: str | None) -> Step | None:
    name, options = _named(entry)
    known = name if name in TRANSFORMERS else name.lower()
    if known not in TRANSFORMERS:
        raise ValueError(f"there is no transformer {shortened(name)}; there are: {', '.join(TRANSFORMERS)}")
    transformer = TRANSFORMERS[known]
    models = options.pop("models", None)
    if models is not None and not (isinstance(models, list) and all(isinstance(glob, str) for glob in models)):
        raise ValueError(f"transformer {name}: `models` is a list of names and patterns, not {shortened(models)}")
    try:
        step = Step(transformer, msgspec.convert(options, transformer.options))
    except msgspec.ValidationError as error:
        raise ValueError(f"transformer {name}: {error}") from error
    if model is not None and models is not None and not any(fnmatchcase(model, glob) for glob in models):
        return None
    return step if model is None else Step(transformer, transformer.options_for(model, step.options))


def _named(entry: Any) -> tuple[str, dict[str, Any]]:
    """Return an entry's name and a copy of its options."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, options),) = entry.items()
        if isinstance(name, str) and isinstance(options, Mapping):
            return name, dict(options)
    raise ValueError(f"{shortened(entry)} is neither the name of a transformer nor {{name: options}}")
