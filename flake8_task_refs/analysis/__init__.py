"""The engine behind every door: source text in, findings out. It imports none of the doors."""
