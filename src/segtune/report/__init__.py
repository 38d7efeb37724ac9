"""Run folder -> one page that tells what was trained, and how good it is."""
