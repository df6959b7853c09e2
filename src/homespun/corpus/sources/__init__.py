"""Where documents come from: files of many formats, and the documentation on this machine."""
