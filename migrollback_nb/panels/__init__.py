"""Panels for notebooks: state and calls into `Migrations`, no SQL."""

from __future__ import annotations

from migrollback_nb.panels.rollback_panel import RollbackPanel

__all__ = ["RollbackPanel"]
