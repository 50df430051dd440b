"""What docs/guarantees.md cites as proof exists."""

import re

from tests.architecture import tree

GUARANTEES = tree.ROOT / "docs" / "guarantees.md"
_CITED = re.compile(r"^- `([\w/]+\.py)::(test_\w+)`$", re.MULTILINE)


def test_every_promise_names_tests_and_each_of_them_exists() -> None:
    text = GUARANTEES.read_text(encoding="utf-8")
    promises = text.split("\n## ")[1:]
    assert len(promises) == 16
    for promise in promises:
        cited = _CITED.findall(promise)
        assert cited, f"no test is named for {promise.splitlines()[0]!r}"
        assert len(cited) == promise.count("\n- `"), f"not every line names a test for {promise.splitlines()[0]!r}"
        for file, name in cited:
            source = (tree.ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"def {name}\b", source), f"there is no {name} in tests/{file}"
