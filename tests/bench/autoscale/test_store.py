from pathlib import Path

from e2e.autoscale.store import Store, code, key, meaning


def test_what_was_put_comes_back_and_what_is_broken_is_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep")
    assert store.get("x") is None
    store.put("x", {"late": 0.5})
    assert store.get("x") == {"late": 0.5}
    (tmp_path / "deep" / "x.json").write_text("{")
    assert store.get("x") is None


def test_only_the_meaning_of_code_counts() -> None:
    plain = "def f(x):\n    return x + 1\n"
    told = '"""Words."""\n\n\ndef f(x):  # a comment\n    """More."""\n    return (x + 1)\n'
    assert meaning(plain) != meaning(plain.replace("1", "2"))
    assert meaning(told) == meaning('"""Other."""\ndef f(x):\n    """x"""\n    return x + 1')


def test_keys_follow_what_and_code() -> None:
    keys = {key({"a": 1}, "c"), key({"a": 2}, "c"), key({"a": 1}, "d")}
    assert len(keys) == 3
    assert key({"a": 1, "b": 2}, "c") == key({"b": 2, "a": 1}, "c")
    assert code("twin/table.py") != code("autoscale")
