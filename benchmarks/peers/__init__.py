"""What the service is compared with, each written as well as its kind can be."""
