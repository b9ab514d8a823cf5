"""BLIP-2's first stage: align a Q-Former's queries with captions before any language model reads them (`bridgelab align`)."""
