"""The results of `bridgelab diagnose` as a file, as tables, as a figure and as a section of the page."""
