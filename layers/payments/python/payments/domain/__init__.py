"""States, transitions and decisions. Imports the standard library alone; the clock and randomness are arguments."""
