"""The error catalogue and the source agree: what is raised has its row, and what has a row is raised."""

import ast
from collections.abc import Iterator

import pytest

from routex_site import ROOT
from routing.engine import errors
from routing.engine.catalogue import CATALOGUE, ROWS, Row
from routing.engine.errors import GatewayError, named

FOLDERS = ("routing/engine", "channels_app/engine", "analytics/engine", "tenants/engine")
CODE_OF = {
    name: kind.code for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, GatewayError)
}


def words(value: ast.expr) -> set[str]:
    """Return the codes that an expression may be; a variable is an upstream's own word."""
    if isinstance(value, ast.IfExp):
        return words(value.body) | words(value.orelse)
    if isinstance(value, ast.Constant):
        return {value.value} - {""}
    assert isinstance(value, ast.Name), f"line {value.lineno}: write codes out, so that they can be found"
    return set()


def classes_of(node: ast.AST) -> list[ast.expr]:
    """Return what a table or a choice hands on, perhaps a class that is called elsewhere."""
    if isinstance(node, ast.Dict):
        return node.values
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else []


def raised_in(tree: ast.AST) -> Iterator[set[str]]:
    for node in ast.walk(tree):
        yield {CODE_OF[each.id] for each in classes_of(node) if isinstance(each, ast.Name) and each.id in CODE_OF}
        match node:
            # `kind` is where a table's class is called.
            case ast.Call(func=ast.Name(name), keywords=keywords) if name in CODE_OF or name == "kind":
                said = [word.value for word in keywords if word.arg == "code"]
                yield words(said[0]) if said else {CODE_OF.get(name, GatewayError.code)}
            case ast.Assign(targets=[ast.Attribute(attr="code")], value=ast.IfExp() as value):
                yield words(value)


def raised() -> set[str]:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(paths) > 100
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths if path.name != "errors.py"]
    return {code for tree in trees for codes in raised_in(tree) for code in codes}


def test_every_code_that_is_raised_has_its_row():
    assert raised() - set(CATALOGUE) == set()


def test_every_row_is_raised_somewhere():
    assert set(CATALOGUE) - raised() == set()


def test_every_class_means_a_row_of_its_own():
    assert set(CODE_OF.values()) <= set(CATALOGUE)
    assert len(set(CODE_OF.values())) == len(CODE_OF)


def test_no_code_has_two_rows():
    assert len(ROWS) == len(CATALOGUE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_row_says_what_why_and_what_to_do_in_sentences(row: Row):
    for text in (row.what, row.why, row.remedy):
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_whoever_should_try_again_is_told_when(row: Row):
    assert row.retry_after_s is not None or not row.should_retry


def test_a_code_brings_its_own_facts_and_what_is_said_of_it_wins():
    error = errors.UpstreamFailed("m", code="upstream_blocked")
    assert (error.status, error.should_retry, error.retry_after_s) == (502, False, 60)
    error = errors.RateLimited("m", should_retry=False)
    assert (error.status, error.should_retry, error.retry_after_s) == (429, False, None)
    error = errors.UpstreamFailed("m", should_retry=False, retry_after_s=9, status=500)
    assert (error.status, error.should_retry, error.retry_after_s) == (500, False, 9)


def test_a_word_of_an_upstreams_own_leaves_the_facts_of_the_class():
    error = errors.BadRequest("m", code="their_word")
    assert (error.status, error.kind, error.code) == (400, "invalid_request", "their_word")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("gpt-5", "gpt-5"), ("a\r\nb\x1b[0m", "a��b�[0m"), ("x" * 101, "x" * 100 + "…"), ("", "")],
)
def test_a_callers_word_is_repeated_bounded_and_printable(text: str, shown: str):
    assert named(text) == shown
