"""The demonstration: real orders, and what it takes to play them."""
