"""Why a number is what it is: the terms that an op's index map says it was added up from."""
