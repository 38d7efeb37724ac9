"""The demo: drawn pictures through the whole of segtune."""
