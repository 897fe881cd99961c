"""A WeChat that signs for real: Pay v3 for a mini-program's merchant, the mini-program server API, and a cashier.

It verifies every request over the bytes on the wire, keeps WeChat's limits and error codes, signs its replies and its
notices with a platform key of its own, and repeats notices as WeChat does. Stands alone: `python -m simulator`.
"""
