"""What a request is about, by the words in it: rough, quick, and the same every time.

Each judgement is one pass over a bounded text that counts words from short lists, so it says what people usually mean
and is easily fooled. Who needs better asks a custom router.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

Category = Literal[
    "coding", "writing", "analysis", "conversation", "research", "creative", "technical", "general"
]  # fmt: skip
Complexity = Literal["simple", "moderate", "complex", "very_complex"]
Intent = Literal["question", "task", "generation", "analysis", "conversation", "review", "debug"]

#: Characters of a text that are judged: its end, where a long prompt usually says what is wanted.
JUDGED_CHARS = 32_768

_WORD = re.compile(r"[^\W\d_]+")
_FENCE = re.compile(r"```[ \t]*([A-Za-z+#]{1,12})")
#: A line's end or beginning that prose does not have.
_CODE_MARKS = (
    "```",
    "();",
    ") {",
    "};",
    "=> ",
    "</",
    "#include",
    "!= ",
    " == ",
    "def ",
    "return ",
    "import ",
    "const ",
)

#: Language → how it begins or ends its lines. Two of them in a text, or the name on a fence, make it that language.
_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "python": ("def ", "elif ", "self.", "import ", "print(", "None", "__init__", "except ", "async def"),
    "javascript": ("function ", "const ", "let ", "=> ", "console.log", "=== ", "require(", "undefined"),
    "typescript": ("interface ", ": string", ": number", "export type", "readonly ", " as const", ": boolean", "<T>"),
    "java": ("public class", "private ", "public static void", "System.out", "@Override", "new ArrayList"),
    "go": ("func ", "package main", ":= ", "fmt.", "err != nil", "chan ", "go func"),
    "rust": ("fn ", "let mut ", "impl ", "pub fn", "&str", "println!", "match ", "::new("),
    "c": ("#include <", "int main(", "printf(", "malloc(", "NULL", "struct ", "void "),
    "cpp": ("#include <", "std::", "cout <<", "template<", "namespace ", "nullptr", "virtual "),
    "csharp": ("using System", "Console.Write", "public async Task", "namespace ", "var ", "string[]"),
    "ruby": ("puts ", "do |", "end\n", "attr_accessor", "require '", "elsif ", ".each"),
    "php": ("<?php", "$this->", "echo ", "function ", "array(", "foreach ("),
    "sql": ("SELECT ", "FROM ", "WHERE ", "INSERT INTO", "CREATE TABLE", "JOIN ", "GROUP BY"),
    "shell": ("#!/bin/", "sudo ", "echo $", "fi\n", "grep ", "| awk", "apt-get "),
    "html": ("<div", "<html", "</", "<span", "class=\"", "<body"),
}  # fmt: skip
_FENCE_NAMES = {
    **{name: name for name in _LANGUAGES},
    "py": "python",
    "js": "javascript",
    "jsx": "javascript",
    "ts": "typescript",
    "tsx": "typescript",
    "golang": "go",
    "rs": "rust",
    "c++": "cpp",
    "cs": "csharp",
    "c#": "csharp",
    "rb": "ruby",
    "sh": "shell",
    "bash": "shell",
    "zsh": "shell",
}
LANGUAGES = tuple(_LANGUAGES)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CATEGORIES: Mapping[Category, frozenset[str]] = {
    "coding": _words("code function bug compile class method refactor implement script unit test python java api loop"),
    "writing": _words("write essay email letter article blog draft rewrite proofread paragraph summary summarize tone"),
    "analysis": _words("analyze analyse compare evaluate assess data trend statistics correlation metrics pros cons"),
    "research": _words("research sources study studies literature papers citations evidence history survey find"),
    "creative": _words("story poem song lyrics imagine character novel plot fiction creative haiku joke"),
    "technical": _words(
        "server network database configure install deploy docker kubernetes linux protocol latency dns"
    ),
    "conversation": _words("hi hello hey thanks thank bye morning evening how're feeling chat weekend"),
}
_INTENTS: Mapping[Intent, frozenset[str]] = {
    "debug": _words("debug error bug exception traceback crash crashes fails failing broken fix stacktrace undefined"),
    "review": _words("review critique feedback check audit proofread inspect improve"),
    "analysis": _words("analyze analyse compare evaluate assess explain interpret investigate"),
    "generation": _words("write generate create compose draft produce design invent make"),
    "task": _words("translate convert summarize extract list run update rename move delete add install refactor"),
}
_ASKING = _words("what why how when where who which is are can could does do should would will")
_GREETING = _words("hi hello hey thanks thank bye goodbye morning evening")
_STEPS = _words("then first second third finally also additionally afterwards next step steps requirements must")


def has_code(text: str) -> bool:
    """Whether a text holds source code: a fence, or two other marks of code."""
    text = text[-JUDGED_CHARS:]
    return "```" in text or sum(mark in text for mark in _CODE_MARKS) >= 2


def languages(text: str) -> frozenset[str]:
    """Return the programming languages in a text: those that fences name, and what two or more marks agree on."""
    text = text[-JUDGED_CHARS:]
    named = {_FENCE_NAMES[name] for each in _FENCE.findall(text) if (name := each.lower()) in _FENCE_NAMES}
    if named:
        return frozenset(named)
    scores = {name: sum(mark in text for mark in marks) for name, marks in _LANGUAGES.items()}
    best = max(scores.values())
    return frozenset(name for name, score in scores.items() if score == best) if best >= 2 else frozenset()


def words_of(text: str) -> list[str]:
    """Return the words of a text's end, in lower case."""
    return _WORD.findall(text[-JUDGED_CHARS:].lower())


def category(words: Collection[str], holds_code: bool) -> Category:
    """Return what a text is about: whatever most of its words from the lists belong to; code is coding."""
    distinct = frozenset(words)
    scores = {name: len(distinct & own) for name, own in _CATEGORIES.items()}
    if holds_code:
        scores["coding"] += 3
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else "general"


def intent(text: str, words: Sequence[str]) -> Intent:
    """Return what a text wants done: by its verbs, then by whether it asks or greets."""
    distinct = frozenset(words)
    scores = {name: len(distinct & own) for name, own in _INTENTS.items()}
    best = max(scores, key=lambda name: scores[name])
    asks = text.rstrip().endswith("?") or (bool(words) and words[0] in _ASKING)
    if scores[best] and not (asks and scores[best] == 1 and best in {"generation", "task"}):
        return best
    if asks:
        return "question"
    return "conversation" if not words or distinct & _GREETING or len(words) <= 3 else "task"


def complexity(text: str, words: Sequence[str], holds_code: bool, tools: int) -> Complexity:
    """Return how much a text asks for: by its length, its steps, its questions, its code, and the tools on offer."""
    points = min(len(words) // 60, 6) + min(text.count("?") // 2, 2) + min(tools // 5, 2)
    points += min(len(frozenset(words) & _STEPS), 3) + 2 * holds_code
    points += min(text.count("\n- ") + text.count("\n1."), 2)
    levels: tuple[Complexity, ...] = ("simple", "moderate", "complex", "very_complex")
    return levels[sum(points >= bound for bound in (2, 5, 9))]
