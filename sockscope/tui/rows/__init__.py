"""What each table shows: its columns, what it can be filtered and sorted by, its cells."""
