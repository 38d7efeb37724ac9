"""Networks by name: float32 (N, 3, H, W) -> logits (N, C, H, W)."""
