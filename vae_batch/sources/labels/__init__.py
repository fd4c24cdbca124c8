"""Labels: from sidecars and label files, joined to the images; splits and exclusions."""
