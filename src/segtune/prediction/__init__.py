"""Model file and picture -> prediction."""
