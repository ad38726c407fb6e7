"""AWS: the clients of its SDK, and what is asked with them."""
