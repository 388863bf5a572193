"""Predict how a server would perform with another model, worker count, backlog or load."""
