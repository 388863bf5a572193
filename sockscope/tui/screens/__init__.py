"""The main screen with the numbered views, and the screens that open on top of it."""
