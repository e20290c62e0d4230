"""Names: a selector and what it selects agree, and everything is a legal label."""

from __future__ import annotations

import re

from conch.api import names

LONGEST = "a" * names.MAX_SERVICE_NAME


def test_the_selector_selects_what_carries_the_labels() -> None:
    labels = names.service_labels(LONGEST)
    assert names.selector_labels(LONGEST).items() <= labels.items()
    key, value = names.selector_string(LONGEST).split("=")
    assert labels[key] == value
    key, value = names.MANAGED_SELECTOR.split("=")
    assert labels[key] == value


def test_labels_are_legal() -> None:
    for key, value in names.service_labels(LONGEST).items():
        assert re.fullmatch(r"[a-z0-9.-]+/[A-Za-z0-9._-]{1,63}", key)
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", value)


def test_each_concern_writes_under_a_name_of_its_own() -> None:
    managers = {names.MANAGER_WORKLOAD, names.MANAGER_SCALER, names.MANAGER_STATUS}
    assert len(managers) == 3
