"""What is read from a disk and written to one: files of others, saved tensors, the cache folder."""
