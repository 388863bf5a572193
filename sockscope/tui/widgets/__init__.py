"""One widget a file; each draws one thing of a moment."""
