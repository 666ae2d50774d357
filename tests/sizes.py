"""Prints what is larger than the sizes to aim at: a place to look, not a wall."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 400, 60


def main() -> None:
    """Print the files and functions over the sizes."""
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout
    over: list[str] = []
    for name in listed.split():
        if "/migrations/" in name or name.startswith("tests/") or not Path(name).exists():
            continue
        text = Path(name).read_text(encoding="utf-8")
        if (lines := text.count("\n")) > FILE_LINES:
            over.append(f"{lines:5} lines  {name}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    over.append(f"{length:5} lines  {name}: {node.name}")
    print("\n".join(["Over the sizes to aim at:", *over]) if over else "All files and functions keep their sizes.")


if __name__ == "__main__":
    main()
