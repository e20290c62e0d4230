import re
from pathlib import Path

import pytest

from e2e.testbed import toolchain


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.3\n", (1, 26, 3)), ("1.26", (1, 26)), ("go1.27rc1", (1, 27)), ("devel", ())],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert toolchain.parse_version(text) == version


def test_the_module_pins_what_the_tool_says_it_builds() -> None:
    go_mod = (toolchain.TOOLS / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{toolchain.KUBERNETES}\n" in go_mod
    staged = set(re.findall(r"^\t(k8s\.io/\S+) => \1 v(\S+)$", go_mod, re.MULTILINE))
    assert {version for _, version in staged} == {"0." + toolchain.KUBERNETES.partition(".")[2]}
    fallback = toolchain.parse_version(toolchain.GO_WHEEL[1])
    assert fallback >= toolchain.module_go_version(go_mod)


def test_the_cache_entry_follows_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("go.mod", "go.sum"):
        (tmp_path / name).write_text("x")
    (tmp_path / "hyper").mkdir()
    source = tmp_path / "hyper" / "main.go"
    source.write_text("package main")
    monkeypatch.setattr(toolchain, "TOOLS", tmp_path)
    names = {toolchain.entry_name()}
    for path in (tmp_path / "go.mod", tmp_path / "go.sum", source):
        path.write_text(path.read_text() + "\n")
        names.add(toolchain.entry_name())
    assert len(names) == 4


def test_hyper_answers_to_every_name_that_it_is_linked_under() -> None:
    main = (toolchain.TOOLS / "hyper" / "main.go").read_text()
    assert all(f'"{name}"' in main for name in toolchain.HYPER)
