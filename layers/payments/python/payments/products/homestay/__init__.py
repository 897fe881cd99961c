"""Nights in a homestay."""
