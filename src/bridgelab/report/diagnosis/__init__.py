"""What `bridgelab diagnose` found, as tables, a figure and a part of the page."""
