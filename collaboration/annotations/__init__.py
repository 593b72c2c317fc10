"""What people say about images: shapes drawn on them, and the threads that begin there."""
