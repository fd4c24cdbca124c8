"""Tables that hold the images themselves: Parquet and Arrow."""
