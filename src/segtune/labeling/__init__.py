"""From a model back to the annotation tool: which pictures to label next, and what the model would draw on them."""
