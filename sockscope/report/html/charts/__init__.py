"""Pictures of a report, as SVG to be put into a page."""
