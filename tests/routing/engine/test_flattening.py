import base64

import pytest

from routing.engine.flattening import json_instruction, plain_text, result_text
from routing.engine.losses import Losses
from routing.engine.messages import Media, OutputFormat, Text, ToolResult

NOTES = base64.b64encode("Nötes.".encode()).decode()


@pytest.mark.parametrize(
    ("media", "text"),
    [
        (Media("document", text="Notes."), "Notes."),
        (Media("document", text="Notes.", title="a.txt", context="Old."), "a.txt\nOld.\nNotes."),
        (Media("document", "text/markdown", data=NOTES), "Nötes."),
        (Media("document", "application/json", data=NOTES), "Nötes."),
        (Media("document", "text/plain", data="//79"), None),
        (Media("document", "text/plain", data="%"), None),
        (Media("document", "application/pdf", data=NOTES), None),
    ],
)
def test_documents_are_text_where_they_hold_text(media, text):
    assert plain_text(media) == text


def test_results_are_never_empty_and_tell_what_follows_elsewhere():
    losses, picture = Losses(), Media("image", data="aGk=")
    assert result_text(ToolResult("c", (Text("a"), Text(""), Text("b"))), losses) == ("a\n\nb", [])
    assert result_text(ToolResult("c"), losses)[0] != ""
    assert list(losses) == []
    text, media = result_text(ToolResult("c", (Text("See."), picture), is_error=True), losses)
    assert (text.startswith("Error: See."), media) == (True, [picture])
    assert list(losses) == ["emulated:tool_result_media", "emulated:is_error"]


def test_json_is_asked_for_with_its_schema():
    asked = json_instruction(OutputFormat("json_schema", {"type": "object"}, description="A place."))
    assert '{"type":"object"}' in asked
    assert "A place." in asked
    assert "JSON object" in json_instruction(OutputFormat("json_object"))
