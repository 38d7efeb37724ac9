"""Configuration -> run folder."""
