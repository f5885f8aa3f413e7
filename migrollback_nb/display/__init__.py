"""Graphs and charts. Talks to no database."""
