"""The watch folder: complete files become jobs, each exactly once."""
