"""The card of a snapshot: its README, with the head that the Hub reads."""
