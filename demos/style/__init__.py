"""Style: repaint a picture in another's style."""
