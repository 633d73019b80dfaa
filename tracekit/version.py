"""Which tracekit this is. The package's metadata takes it from here: looking it up there would import `email`."""

VERSION = "0.1.0"
