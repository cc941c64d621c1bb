"""What the three systems do not need of the core and of ``functional``, under its public names."""
