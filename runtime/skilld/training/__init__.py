"""Making a specialist: data from a generator, a tokenizer, a small Llama, and an honest judgement.

Nothing here knows a skill; what is particular lies in `engines/<name>/generator.py`.
"""
