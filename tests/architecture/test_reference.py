"""The reference in docs/ is what the code says."""

from bus.core.limits import Limits
from tests.architecture import tree
from tests.architecture.reference import reference


def test_the_reference_is_printed_from_the_code() -> None:
    printed = (tree.ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert printed == reference(), "print it anew: python -m tests.architecture.reference > docs/reference.md"


def test_every_limit_is_in_the_reference() -> None:
    for name in Limits.__struct_fields__:
        assert f"| `{name}` |" in reference()
