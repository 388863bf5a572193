"""The dashboard: one frozen frame and its history in, screens out."""
