"""What the tests of panels share."""

from __future__ import annotations

from collections.abc import Iterator

import comm
import pytest
from panel_states import Standin

from migrollback_nb.panels import RollbackPanel


@pytest.fixture(autouse=True)
def plain_comms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Widgets speak as where there is no kernel: the comms of ipykernel, once imported, say nothing outside of one."""
    monkeypatch.setattr(comm, "create_comm", comm._create_comm)


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
