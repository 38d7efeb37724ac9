"""Predictions and labels -> scores."""
