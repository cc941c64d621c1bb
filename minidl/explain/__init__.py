"""Why a number is what it is: explanations of single elements, and traces of whole steps.

``source`` finds the user's line, ``terms`` reads an op's declaration, ``cells`` and ``fields`` make
explanations of it; ``record`` fills a ``trace``, ``check`` proves it, ``walk`` prints it.
"""
