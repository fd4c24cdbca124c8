"""Zips: read in place by their central directory."""
