"""Tool names that every upstream takes."""

from routing.engine.toolnames import ToolNames


def test_a_name_begins_with_a_letter_where_it_must():
    names = ToolNames(64, starts_with_letter=True)
    fitted = [names.fit(name) for name in ("7zip", "-x", "_ok", "7" * 90)]
    assert fitted[0].startswith("_7zip_")
    assert fitted[1].startswith("_-x_")
    assert fitted[2] == "_ok"
    assert len(fitted[3]) == 64
    assert [names.restore(name) for name in fitted] == ["7zip", "-x", "_ok", "7" * 90]


def test_elsewhere_a_name_may_begin_with_a_digit():
    assert ToolNames(64).fit("7zip") == "7zip"
