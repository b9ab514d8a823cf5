"""The frozen vision encoder: open_clip's towers as functions from pixels to patches."""
