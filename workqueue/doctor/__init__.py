"""fsq doctor: examines a root, explains what it finds, and repairs what it can."""
