"""Google Cloud: how its services are signed in to, and what is asked of them."""
