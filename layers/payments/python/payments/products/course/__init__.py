"""Seats in the sessions of a course."""
