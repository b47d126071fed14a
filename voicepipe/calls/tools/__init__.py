"""Tools that a call offers to the language model, and running them."""
