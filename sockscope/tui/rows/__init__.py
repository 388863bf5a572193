"""Rows of the tables: cells, filter keys and sort order."""
