"""The flake8 door: options in, findings out."""
