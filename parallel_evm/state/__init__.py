"""What a transaction can touch: keys, values, and the views through which they are reached.

This room knows nothing of scheduling, processes or blocks. Everything above reads and writes
chain state through it and through it alone.
"""
