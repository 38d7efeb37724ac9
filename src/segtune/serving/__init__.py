"""Model file -> a page and an API that predict what they are sent."""
