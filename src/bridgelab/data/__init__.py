"""Images, their features kept on disk, and the order in which a bridge sees examples."""
