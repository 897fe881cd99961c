"""The table: the only room that knows keys, items and conditions."""
