"""Image features: encoded by the frozen vision encoder, stored on disk, read by training steps."""
