"""A unit in, a part out. No Ray in here."""
