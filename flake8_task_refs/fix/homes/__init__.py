"""The homes: where a registry of tasks can live, one module for each kind of place."""
