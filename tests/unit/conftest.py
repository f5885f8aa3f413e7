"""What the tests of panels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from panel_states import Standin

from migrollback_nb.panels import RollbackPanel


@pytest.fixture
def standin() -> Iterator[Standin]:
    """A stand-in for the database; what it holds back is let go at the end."""
    made = Standin()
    yield made
    made.gate.set()


@pytest.fixture
def panel(standin: Standin) -> RollbackPanel:
    """A rollback panel on it."""
    return RollbackPanel(standin)
