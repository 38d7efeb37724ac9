"""The command 'segtune export': a model file for another runtime, and the proof that it predicts the same."""
