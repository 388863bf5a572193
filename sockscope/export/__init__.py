"""Recordings and frames for other tools: tables, timelines, OpenMetrics."""
