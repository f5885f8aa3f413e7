"""The version of this package, which is also that of the rollback system it installs."""

__version__ = "0.2.0"
