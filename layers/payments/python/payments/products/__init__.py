"""What can be sold: one folder each, and their registry."""
