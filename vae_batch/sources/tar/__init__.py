"""Tars: walked over by our own code, counted and cut at group borders, read with their sidecars."""
