"""Door 3: the picture of every task of a code base."""
