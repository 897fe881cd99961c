"""A tiny product, as docs/adding-a-product.md has it: tests sell it beside the shop's own."""
