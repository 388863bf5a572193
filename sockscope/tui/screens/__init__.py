"""The screen with the numbered views, and those that open on top of it."""
