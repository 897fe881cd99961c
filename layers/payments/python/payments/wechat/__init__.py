"""WeChat Pay and the mini-program's server API: calls, signatures, keys, and one tree of errors."""
