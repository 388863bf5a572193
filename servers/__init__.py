"""Five reference TCP servers, each with another way to share its work, and a load generator."""
