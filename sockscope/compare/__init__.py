"""Comparison of recordings: the model, and its text, JSON and HTML."""
