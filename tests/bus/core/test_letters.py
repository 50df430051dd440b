"""Letters are named by ids that lead back to them, whatever their key contains."""

import pytest

from bus.core.letters import letter_place
from tests.contracts.letters import letter


@pytest.mark.parametrize("key", ["k", "UA-1545", "a:b", "::", "1:2:3", "é 😀", " "])
def test_an_id_leads_back_to_its_letter(key: str) -> None:
    assert letter_place(letter(key, 4711).id) == ("plain", 1, 4711, key)


@pytest.mark.parametrize(
    "text", ["", "plain", "plain:1:2", "plain:1:2:", "plain:one:2:k", "plain:1:-2:k", "plain:1::k"]
)
def test_what_is_no_id_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no id of a dead letter: write projection:version:position:key"):
        letter_place(text)


@pytest.mark.parametrize("text", [f"plain:1:{2**63}:k", f"plain:{2**63}:1:k"])
def test_a_number_that_no_store_can_look_up_is_none(text: str) -> None:
    assert letter_place(f"plain:1:{2**63 - 1}:k")[2] == 2**63 - 1
    with pytest.raises(ValueError, match="more than 64 bits"):
        letter_place(text)
