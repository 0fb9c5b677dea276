"""Draw, and get a picture at once."""
