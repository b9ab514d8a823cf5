"""What should stand between a frozen vision encoder and a frozen language model?"""

__version__ = "0.1.0"
