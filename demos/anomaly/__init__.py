"""What is unlikely under a model of what is normal, and where."""
