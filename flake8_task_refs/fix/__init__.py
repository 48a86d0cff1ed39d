"""The codemod: findings in, repaired source out."""
