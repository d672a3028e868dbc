"""What all doors share of HTTP: who calls, what they may, how bodies are read and errors look."""
