"""Loose files: folders walked and read, here or under a URI."""
