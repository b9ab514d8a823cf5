"""Type and range of every key of `conf/`, one module per part of the config. Free of torch.

A key is declared once, whichever options of its group have it. An undeclared key is refused, and fails tests/test_configs.py.
"""
