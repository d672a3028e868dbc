"""The only code that changes things."""
