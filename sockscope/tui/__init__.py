"""The dashboard: shows a frame and its time series."""
