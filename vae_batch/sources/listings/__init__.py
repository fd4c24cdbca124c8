"""Listings: text or tables whose rows name images elsewhere."""
