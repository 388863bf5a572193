"""What recording can take and what it costs, measured on a running kernel."""
