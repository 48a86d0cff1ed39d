"""How results are told: formats for people and machines, a baseline of known findings, colours."""
